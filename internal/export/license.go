package export

import (
	"strings"

	"github.com/github/go-spdx/v2/spdxexp"
	"github.com/github/go-spdx/v2/spdxexp/spdxlicenses"
)

// maxLicenseBytes bounds what is read as an expression: some packages have the
// whole text of a licence where its name belongs.
const maxLicenseBytes = 256

// licenseListVersion is that of the list of licences that expressions are checked
// against.
func licenseListVersion() string {
	// "v3.28.0"; SPDX wants two numbers.
	parts := strings.Split(strings.TrimPrefix(spdxlicenses.LicenseListVersion(), "v"), ".")
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// license is what packages declare, as one expression. What is none becomes a
// licence of the document's own, with its words as its text.
func (b *spdxWriter) license(declared []string) string {
	var out []string
	for _, l := range declared {
		l = strings.TrimSpace(l)
		expression := expressionOf(l)
		switch {
		case l == "":
		case expression != "":
			l = expression
			if strings.ContainsRune(l, ' ') && len(declared) > 1 {
				l = "(" + l + ")"
			}
			out = append(out, l)
		default:
			id := b.licenses[l]
			if id == "" {
				id = "LicenseRef-" + spdxWord(l) + "-" + shortHash(l)
				b.licenses[l] = id
			}
			out = append(out, id)
		}
	}
	out = sortedSet(out)
	if len(out) == 0 {
		return spdxUnknown
	}
	return strings.Join(out, " AND ")
}

// expressionOf is s as an expression of licences of SPDX's list, with their names
// as they are written there; "" if it is none. A reference into another document
// means nothing here.
func expressionOf(s string) string {
	if s == "" || len(s) > maxLicenseBytes {
		return ""
	}
	out, wrong := spdxexp.ValidateAndNormalizeLicensesWithOptions([]string{s}, spdxexp.ValidateLicensesOptions{
		FailAllLicenseRefs: true, FailAllDocumentRefs: true,
	})
	if len(wrong) > 0 || len(out) != 1 {
		return ""
	}
	return out[0]
}
