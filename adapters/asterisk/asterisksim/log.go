package asterisksim

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// journal collects the lines of Asterisk's log for one request, as they are in
// a file with "notice,security" in logger.conf. (Asterisk 22.10.1: manager.c,
// acl.c, res_security_log.c.)
type journal struct {
	lines strings.Builder
	r     *pbxsim.Request
	user  string // as the request has it
}

func (j *journal) notice(file, format string, args ...any) {
	fmt.Fprintf(&j.lines, "[%s] NOTICE[4711] %s: %s\n", time.Now().Format(time.Stamp), file, fmt.Sprintf(format, args...))
}

// security writes a security event. more are its further fields.
func (j *journal) security(event, account, more string) {
	severity, version, since := "Error", "1", time.Unix(0, 0)
	switch event {
	case "SuccessfulAuth":
		severity, since = "Informational", time.Now()
	case "InvalidPassword":
		version = "2"
	}
	local, _ := j.r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	where := fmt.Sprintf("SessionID=\"0x7f3f94001260\",LocalAddress=%q,RemoteAddress=%q,%sSessionTV=%q",
		address(fmt.Sprint(local)), address(j.r.RemoteAddr), more, eventTime(since))
	who := fmt.Sprintf("AccountID=%q", account)
	if event == "RequestBadFormat" { // where the account is optional, it comes last
		where, who = who, where
	}
	fmt.Fprintf(&j.lines, "[%s] SECURITY[4712] res_security_log.c: SecurityEvent=%q,EventTV=%q,Severity=%q,Service=\"AMI\",EventVersion=%q,%s,%s\n",
		time.Now().Format(time.Stamp), event, eventTime(time.Now()), severity, version, who, where)
}

func eventTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000-0700") }

// address writes an IP address with its port as security events do.
func address(hostport string) string {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return "IPV4/TCP/" + hostport + "/0"
	}
	family := "IPV4"
	if strings.Contains(host, ":") {
		family = "IPV6"
	}
	return family + "/TCP/" + host + "/" + port
}

// refused writes what a wrong login leaves: two lines that fail2ban's filter
// matches for a wrong secret, three for an unknown user, and none without a user.
func (j *journal) refused(known, denied bool, in params, challenge, expected string) {
	if j.user == "" {
		return
	}
	key := in.get("Key")
	switch md5 := strings.EqualFold(in.get("AuthType"), "MD5"); {
	case !known:
		j.security("InvalidAccountID", j.user, "")
		j.notice("manager.c", "%s tried to authenticate with nonexistent user '%s'", j.r.From, j.user)
	case denied:
		j.notice("acl.c", "Manager User ACL: Rejecting '%s' due to a failure to pass ACL '(BASELINE)'", j.r.From)
		j.notice("manager.c", "%s failed to pass IP ACL as '%s'", j.r.From, j.user)
		j.security("FailedACL", j.user, "")
	case md5 && challenge != "" && key != "":
		j.security("ChallengeResponseFailed", "", fmt.Sprintf("Challenge=%q,Response=%q,ExpectedResponse=%q,", challenge, key, expected))
	case !md5:
		j.security("InvalidPassword", j.user, "")
	}
	j.notice("manager.c", "%s failed to authenticate as '%s'", j.r.From, j.user)
}

// notAllowed writes what a request leaves that needs a session or a permission.
func (j *journal) notAllowed(account, action string) {
	j.security("RequestNotAllowed", account, fmt.Sprintf("RequestType=%q,", "Action: "+action))
}
