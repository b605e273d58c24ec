package baseline

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// tomcatValues are the attributes of Tomcat's files whose value is kept. They
// are named as in its configuration reference.
var tomcatValues = set("port", "protocol", "address", "className", "SSLEnabled", "secure", "scheme", "server", "xpoweredBy", "allowTrace",
	"enableLookups", "maxPostSize", "maxHttpHeaderSize", "connectionTimeout", "maxThreads", "autoDeploy", "unpackWARs", "deployOnStartup",
	"deployXML", "appBase", "name", "sslEnabledProtocols", "protocols", "sslProtocol", "ciphers", "clientAuth", "certificateVerification",
	"secretRequired", "showReport", "showServerInfo", "allow", "privileged", "crossContext", "allowLinking", "useHttpOnly", "antiResourceLocking",
	"lockOutRealm", "failureCount", "lockOutTime", "roles", "rolename", "username", "sessionCookieHttpOnly", "digest", "algorithm")

// tomcatSecrets are attributes whose value is a secret.
var tomcatSecrets = set("password", "keystorePass", "keyPass", "truststorePass", "certificateKeystorePassword", "certificateKeyPassword",
	"secret", "requiredSecret", "connectionPassword")

// tomcatTexts are elements whose text is kept: parameters of the default
// servlet and the session timeout.
var tomcatTexts = set("param-name", "param-value", "servlet-name", "session-timeout", "http-only", "secure", "transport-guarantee", "exception-type", "error-code")

// tomcatParams are the parameters whose value is kept.
var tomcatParams = set("listings", "readonly", "debug", "showServerInfo", "allowTrace", "fork", "development", "xpoweredBy", "sendfileSize")

// parseTomcat reads server.xml, tomcat-users.xml, web.xml and context.xml as a
// list of elements. A file with another root says nothing: (nil, nil).
func parseTomcat(name string, b []byte) ([]Directive, error) {
	roots := map[string]string{"server.xml": "Server", "tomcat-users.xml": "tomcat-users", "web.xml": "web-app", "context.xml": "Context"}
	dec := xml.NewDecoder(bytes.NewReader(b))
	dec.Strict = true
	dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	out := []Directive{}
	var stack []string
	param := ""
	for {
		tok, err := dec.RawToken()
		if errors.Is(err, io.EOF) {
			if len(out) == 0 {
				return nil, nil
			}
			return out, nil
		}
		if err != nil {
			if len(out) == 0 {
				return nil, errors.New("damaged XML")
			}
			return out, errors.New("damaged XML") // the decoder's words may quote the file
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if len(stack) == 0 && t.Name.Local != roots[name] {
				return nil, nil
			}
			if len(stack) == maxDepth {
				return out, fmt.Errorf("more than %d elements within each other: %w", maxDepth, ErrLimit)
			}
			if len(out) == maxEntries {
				return out, tooMany("elements")
			}
			out = append(out, tomcatElement(strings.Join(stack, "/"), t))
			stack = append(stack, clip(t.Name.Local))
		case xml.EndElement:
			if len(stack) == 0 {
				return out, errors.New("damaged XML")
			}
			stack = stack[:len(stack)-1]
		case xml.CharData:
			text := strings.TrimSpace(string(t))
			if text == "" || len(stack) == 0 || !tomcatTexts[stack[len(stack)-1]] {
				continue
			}
			last := &out[len(out)-1]
			switch stack[len(stack)-1] {
			case "param-name":
				param = text
				last.Args = []string{clip(text)}
			case "param-value":
				if tomcatParams[param] {
					last.Args = []string{clip(text)}
				}
			default:
				last.Args = []string{clip(text)}
			}
		}
	}
}

func tomcatElement(section string, t xml.StartElement) Directive {
	d := Directive{Section: clip(section), Name: clip(t.Name.Local)}
	user, pass := "", ""
	for _, a := range t.Attr {
		name := a.Name.Local
		if name == "username" || (name == "name" && t.Name.Local == "user") {
			user = a.Value
		}
		switch {
		case len(d.Args) == maxArgs:
		case t.Name.Local == "Server" && name == "shutdown":
			// The word stops the server. Only whether it is the one that
			// everybody knows.
			d.State = secretState(a.Value)
			if a.Value == "SHUTDOWN" {
				d.State = "default"
			}
		case tomcatSecrets[name]:
			pass = a.Value
			d.State = secretState(a.Value)
		case tomcatValues[name]:
			d.Args = append(d.Args, clip(name+"="+a.Value))
		default:
			d.Args = append(d.Args, clip(name)+"=?")
		}
	}
	if t.Name.Local == "user" {
		d.State = tomcatPassword(user, pass)
	}
	return d
}

// tomcatPassword tells apart the passwords that nobody chose.
func tomcatPassword(user, pass string) string {
	switch {
	case pass == "":
		return "empty"
	case strings.EqualFold(pass, user):
		return "user name"
	case strings.HasPrefix(pass, "<") || strings.EqualFold(pass, "tomcat") || strings.EqualFold(pass, "s3cret") || strings.EqualFold(pass, "admin"):
		return "default"
	}
	return "set"
}
