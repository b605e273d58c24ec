package binary

// unprovedForms are the forms of the table, program and number, for which no
// real program could be had. They stand on what others have published of the
// content of such programs.
var unprovedForms = map[string]bool{
	"node 2":              true,
	"libjulia-internal 0": true,
	"beam.smp 0":          true,
	"beam.smp 2":          true,
	"dart 0":              true,
	"gcc 0":               true,
	"nginx 1":             true,
	"nginx 2":             true,
	"haproxy 2":           true,
	"envoy 0":             true,
	"fluent-bit 0":        true,
	"redis-server 1":      true,
	"redis-server 4":      true,
	"valkey-server 0":     true,
	"valkey-server 1":     true,
	"valkey-server 4":     true,
	"mysqld 1":            true,
	"mysqld 2":            true,
	"mysqld 3":            true,
	"mysqld 4":            true,
	"mongod 0":            true,
	"mongod 1":            true,
	"mongod 2":            true,
	"mosquitto 1":         true,
	"toybox 1":            true,
	"openssl 1":           true,
	"openssl 2":           true,
	"release 0":           true,
}
