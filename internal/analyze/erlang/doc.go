// Package erlang finds applications of Erlang/OTP and Elixir by their resource
// files, ebin/NAME.app (the app(4) page of Erlang's documentation): a tuple
// {application, Name, [{vsn, "1.2"}, …]}. Releases made by rebar3 and mix hold
// one for each application they contain; plugins of RabbitMQ and others come
// packed as archives (.ez). Fetched sources of a package carry
// hex_metadata.config, a file of tuples of binaries.
//
// The applications of OTP itself and of Elixir have the type "otp"; others come
// from the registry Hex as a rule and have the type "hex", since the file does not
// say where an application is from. Escripts are not opened.
package erlang
