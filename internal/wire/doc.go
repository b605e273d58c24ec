// Package wire is what every HTTP answer of the server has in common: a
// request id in the X-Request-Id header, and errors in the form that HSS
// clients read; the router that APIs put their routes into; and what is asked of
// every request and its answer: parameters of the path, the client's address,
// the status.
//
// A client of Huawei's SDK takes "error_code" and "error_msg" from the body,
// which must both be non-empty strings, and the request id from the header
// alone; people who use curl find it in the body as well. Which code belongs
// to which fault is not known here: the API and the authenticator each have a
// table of their own.
package wire
