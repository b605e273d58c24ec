package secret

import (
	"bytes"
	"encoding/binary"
)

// binaryProbe is how much of a file tells whether it is text.
const binaryProbe = 8 << 10

// isBinary is for a NUL among the first bytes, as grep and git tell it, and
// for the start of DER.
func isBinary(b []byte) bool {
	return bytes.IndexByte(b[:min(len(b), binaryProbe)], 0) >= 0 || len(b) > 4 && b[0] == 0x30 && b[1] >= 0x81 && b[1] <= 0x83
}

// maxKeyStore is the size of a file that is looked at as a key store.
const maxKeyStore = 8 << 20

// Object identifiers of PKCS #12 bags (RFC 7292) without the last arc's
// sisters: 1 is a plain key, 2 an encrypted one.
var (
	oidKeyBag      = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x01}
	oidShroudedBag = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x02}
	oidPBES2       = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d}
)

// isKeyStore tells from the start of a binary file whether keyStore may say
// something.
func isKeyStore(b []byte, size int64) bool {
	if size > maxKeyStore || len(b) < 16 {
		return false
	}
	switch magic := binary.BigEndian.Uint32(b); magic {
	case 0xfeedfeed, 0xcececece, 0x03d9a29a:
		return true
	default:
		return magic>>16 == 0x0502 || b[0] == 0x30
	}
}

// keyStore tells binary files that hold keys by their bytes, whatever their
// names: the store of a Java machine that holds certificates alone is none.
func (s *scan) keyStore(size int64) {
	b := s.buf
	if !isKeyStore(b, size) || s.class == material {
		return
	}
	f := Secret{Kind: KeyStore, Severity: High, Encrypted: true}
	switch magic := binary.BigEndian.Uint32(b); {
	case (magic == 0xfeedfeed || magic == 0xcececece) && binary.BigEndian.Uint32(b[4:]) <= 2:
		if !jksHoldsKey(b) {
			return
		}
		f.Rule, f.Title = "java-key-store", "Java key store with a private key"
	case magic == 0x03d9a29a:
		f.Rule, f.Title = "keepass-database", "KeePass database"
	case magic>>16 == 0x0502 && len(b) > 20 && b[2] == 0 && b[3] == 0:
		f.Rule, f.Title, f.Encrypted, f.Severity = "kerberos-keytab", "Kerberos key table", false, Critical
	case b[0] == 0x30:
		if !derKey(b, &f) {
			return
		}
	default:
		return
	}
	f.Path, f.Length, f.Masked = s.path, int(size), "********"
	f.Hash = digest(s.salt, string(b))
	if s.class == tests {
		f.Test, f.Severity = true, f.Severity.lowered()
	}
	s.found = append(s.found, match{Secret: f, rank: rankKey, to: size})
}

// jksHoldsKey walks the entries of a JKS or JCEKS store: those with tag 1 or 3
// are keys, those with 2 are certificates. (The layout is that of
// sun.security.provider.JavaKeyStore.)
func jksHoldsKey(b []byte) bool {
	const maxEntries = 10000
	n := binary.BigEndian.Uint32(b[8:])
	b = b[12:]
	for range min(n, maxEntries) {
		if len(b) < 6 {
			return false
		}
		tag := binary.BigEndian.Uint32(b)
		if tag != 2 {
			return tag == 1 || tag == 3
		}
		alias := int(binary.BigEndian.Uint16(b[4:]))
		at := 6 + alias + 8 // and the date
		if len(b) < at+2 {
			return false
		}
		at += 2 + int(binary.BigEndian.Uint16(b[at:])) // the type of the certificate
		if len(b) < at+4 {
			return false
		}
		length := int64(binary.BigEndian.Uint32(b[at:]))
		if length > int64(len(b)-at-4) {
			return false
		}
		b = b[at+4+int(length):]
	}
	return false
}

// derKey tells the kinds of private keys in DER: PKCS #12 (RFC 7292), PKCS #8
// (RFC 5958), plain and encrypted, PKCS #1 (RFC 8017) and SEC 1 (RFC 5915).
func derKey(b []byte, f *Secret) bool {
	length, head, ok := derLength(b)
	if !ok || len(b) < head+16 {
		return false
	}
	in := b[head:]
	whole := length+head == int(min(int64(len(b)), 1<<20))
	switch {
	case bytes.HasPrefix(in, []byte{0x02, 0x01, 0x03, 0x30}): // PFX, version 3
		plainBag, shrouded := bytes.Contains(b, oidKeyBag), bytes.Contains(b, oidShroudedBag)
		if !plainBag && !shrouded {
			return false
		}
		f.Rule, f.Title, f.Encrypted = "pkcs12-key-store", "PKCS #12 key store", !plainBag
	case whole && bytes.HasPrefix(in, []byte{0x02, 0x01, 0x00, 0x30}) && in[5] == 0x06 || whole && bytes.HasPrefix(in, []byte{0x02, 0x01, 0x01, 0x30}) && in[5] == 0x06:
		f.Rule, f.Title, f.Kind, f.Severity, f.Encrypted = "private-key-der", "Private key (PKCS #8, DER)", PrivateKey, Critical, false
	case whole && bytes.HasPrefix(in, []byte{0x02, 0x01, 0x00, 0x02}):
		f.Rule, f.Title, f.Kind, f.Severity, f.Encrypted = "private-key-der", "Private key (RSA, DER)", PrivateKey, Critical, false
	case whole && bytes.HasPrefix(in, []byte{0x02, 0x01, 0x01, 0x04}) && in[4] >= 16 && in[4] <= 72:
		f.Rule, f.Title, f.Kind, f.Severity, f.Encrypted = "private-key-der", "Private key (elliptic curve, DER)", PrivateKey, Critical, false
	case whole && in[0] == 0x30 && bytes.Contains(in[:min(len(in), 24)], oidPBES2):
		f.Rule, f.Title, f.Kind, f.Severity = "private-key-der-encrypted", "Private key (PKCS #8, DER), encrypted", PrivateKey, Medium
	default:
		return false
	}
	return true
}
