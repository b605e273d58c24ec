// Package tenant says where a call of an API acts, and puts together what it is
// answered there.
//
// An enterprise project is a tenant of its own in the store: what belongs to it
// is found under its id alone. Begin finds the tenants of a call, one or more,
// from its key and the enterprise project that it names; Listed, Merged, Found,
// RowsOf and Act ask them one after the other. The package knows neither what is
// asked nor how answers are written: the APIs do.
package tenant
