package yeastarsim

import "github.com/pbxauth/pbx/conformance/pbxsim"

// New returns a PBX. nil options are zero ones.
func New(o *Options, common *pbxsim.Options) *pbxsim.PBX {
	return pbxsim.New(Dialect(o, nil), common)
}

// Dialect returns the wire format, for simulators of APIs that descend from this
// one. lists are their lists of extensions, by the name of the request; nil means
// the family's own.
func Dialect(o *Options, lists map[string]Extensions) pbxsim.Dialect {
	if o == nil {
		o = &Options{}
	}
	d := dialect{*o, lists}
	if lists == nil {
		d.lists = d.family().lists
	}
	d.family() // panics now if there is none, and not at the first request
	return d
}

// Options are how one PBX differs from another. The zero value is an S-Series
// with API v1 as the vendor's pages document it. The fields are what the pages
// contradict each other about, say nothing about, or have wrong.
type Options struct {
	// Family is one of [SV1], [SV2], [CloudV1] and [CloudV2]; empty: SV1.
	Family string

	// Version is the path's version segment where it is not the family's:
	// v1.0.0 and v1.0.1 of old firmware, v1.10 of one page's endpoint.
	Version string

	// FailingStatus is the word for "status" in a failing response: "Failed" if
	// empty. The guides of 2017 have "Failure".
	FailingStatus string

	// NumericErrno writes errno as a number. Every printed sample has a string.
	NumericErrno bool

	// WrongLoginErrno is the response to a wrong login. 0 means 20003, as the table of
	// errors has it; the login page's own sample of a failure shows 30003.
	WrongLoginErrno int

	// HeartbeatInsists makes a heartbeat without ipaddr and port fail with errno
	// 10004. The English pages require both, the Chinese page of 2017 does not,
	// and the official sample leaves them out.
	HeartbeatInsists bool

	// LogoutForgives makes a logout of a dead token a success. The vendor does not
	// say what it is. Without LogoutForgives the token's errno is the response.
	LogoutForgives bool

	// VersionErrno makes a path with an unknown version fail with errno 10003, "no
	// such request". The vendor does not say what happens. Without VersionErrno it
	// is HTTP 404.
	VersionErrno bool

	// CallsSlide makes every request prolong a token, which of API v2 and of the
	// Cloud PBX is not documented. The S-Series with API v1 always does it.
	CallsSlide bool

	// NoRefreshToken leaves the refreshtoken out of a login's response. Of the
	// Cloud PBX with API v2 that response is not printed.
	NoRefreshToken bool

	// RefreshTokenOfK2 has the refreshtoken in a login's response, and the request
	// that exchanges it. The K2's guide of API v2 has both, and that of the S-Series
	// has neither. Of other families it changes nothing.
	RefreshTokenOfK2 bool

	// RefreshErrno is the response to a dead refreshtoken. The vendor names none; 0
	// means the errno of a dead token.
	RefreshErrno int

	// ReportsOverTCP is the PBX's report method with API v2. A login needs no
	// port then.
	ReportsOverTCP bool

	// KeepConnections leaves connections open. The vendor's samples close every
	// one.
	KeepConnections bool
}
