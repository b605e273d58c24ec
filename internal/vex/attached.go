package vex

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
)

// payloadType is that of an in-toto statement in a DSSE envelope
// (https://github.com/secure-systems-lab/dsse,
// https://github.com/in-toto/attestation/blob/main/spec/v1/envelope.md).
const payloadType = "application/vnd.in-toto+json"

// Attached reads what is attached to an image as an attestation: a DSSE envelope
// or a bare in-toto statement whose predicate is an OpenVEX document, or such a
// document itself. Anything else is (nil, nil). digests are those of the image:
// an attestation about another subject is refused. No signature is verified.
func Attached(name string, b []byte, digests []string) (*Document, error) {
	if len(b) > maxDocumentBytes {
		return nil, fault.New(fault.TooLarge, "an attestation has at most %d bytes", maxDocumentBytes)
	}
	var envelope struct {
		PayloadType string `json:"payloadType"`
		Payload     string `json:"payload"`
	}
	if err := unmarshal(b, &envelope); err != nil {
		return nil, err
	}
	if envelope.Payload != "" {
		if envelope.PayloadType != payloadType {
			return nil, nil
		}
		payload, err := base64.StdEncoding.DecodeString(envelope.Payload)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "payload of the envelope")
		}
		b = payload
	}
	var st struct {
		Context   string `json:"@context"`
		Type      string `json:"predicateType"`
		Predicate json.RawMessage
		Subject   []struct {
			Digest map[string]string `json:"digest"`
		} `json:"subject"`
	}
	if err := unmarshal(b, &st); err != nil {
		return nil, err
	}
	switch {
	case strings.HasPrefix(st.Context, openVEXContext):
		return parse(name, b, report.JudgedByAttached)
	case !strings.HasPrefix(st.Type, openVEXContext):
		return nil, nil
	}
	about := false
	for _, s := range st.Subject {
		about = about || slices.Contains(digests, "sha256:"+s.Digest["sha256"])
	}
	if !about {
		return nil, fault.New(fault.Invalid, "the attestation is about another image")
	}
	return parse(name, st.Predicate, report.JudgedByAttached)
}
