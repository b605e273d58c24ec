package binary

// unprovedForms are the forms of the table, program and number, for which no
// real program could be had here. They were tried once on pieces of such programs
// that others have published; those of LibreSSL and GraalVM stand on what these
// are known to print.
var unprovedForms = map[string]bool{
	"node 2":              true, // node
	"deno 1":              true, // deno
	"deno 2":              true, // deno
	"bun 1":               true, // bun
	"libjulia-internal 0": true, // julia
	"libjulia-internal 1": true, // julia
	"beam.smp 0":          true, // erlang
	"beam.smp 2":          true, // erlang
	"dart 0":              true, // dart
	"dart 1":              true, // dart
	"ghc 0":               true, // ghc
	"swipl 0":             true, // swipl
	"gcc 0":               true, // gcc
	"nginx 1":             true, // openresty
	"haproxy 2":           true, // haproxy
	"envoy 0":             true, // envoy
	"fluent-bit 0":        true, // fluent-bit
	"redis-server 1":      true, // redis
	"redis-server 4":      true, // redis
	"valkey-server 0":     true, // valkey
	"valkey-server 1":     true, // valkey
	"valkey-server 4":     true, // valkey
	"mysqld 1":            true, // mariadb
	"mysqld 2":            true, // percona-xtradb-cluster
	"mysqld 3":            true, // percona-server
	"mysqld 4":            true, // mysql-cluster
	"mysqld 5":            true, // mysql-cluster
	"mysqld 6":            true, // mysql
	"mysqld 7":            true, // mysql
	"mongod 0":            true, // mongodb
	"mongod 1":            true, // mongodb
	"mongod 2":            true, // mongodb
	"xtrabackup 0":        true, // percona-xtrabackup
	"arangod 0":           true, // arangodb
	"sqlcipher 0":         true, // sqlcipher
	"openssl 1":           true, // aws-lc
	"openssl 2":           true, // libressl
	"libQt5Core 1":        true, // qtbase
	"release 0":           true, // graalvm
}
