package pbxsim

// AccountsOf returns what the dialect of p sees of it, for a request without HTTP.
func AccountsOf(p *PBX, r *Request) *Accounts { return &Accounts{p, r} }
