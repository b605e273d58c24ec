// Package auth proves who makes a request. It verifies the AK/SK signatures
// that Huawei Cloud's SDKs make (SDK-HMAC-SHA256, the derived V11-HMAC-SHA256
// they use against endpoints that are not Huawei's, and the variants with SM3,
// ECDSA and SM2), hands out and checks tokens for clients that cannot sign, and
// signs the requests of our own agents in the same way.
//
// An Authenticator wraps handlers: Users lets the keys of people in, Agents
// the keys of agents, and neither the other's. Behind it FromContext names the
// key, and the body, which had to be read for its hash, can be read again.
//
// The scheme has no nonce and a resolution of one second. What was signed is
// therefore remembered for as long as its date is accepted, and a write that
// is made again is refused; package documentation of replayCache tells the
// one exception. What a key may do beyond its own project is not decided here.
package auth
