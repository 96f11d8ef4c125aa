//go:build linux

package realservers

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
)

// asteriskSecret is that of all users. See also adapters/asterisk/testdata/real.
const asteriskSecret = "s3cret pässword"

// httptimeout is the idle lifetime of a session.
const httptimeout = 20 * time.Second

// asterisk is a running Asterisk.
type asterisk struct {
	*process
	dir       string
	root      string // below which it is installed
	port, ami int
}

// startAsterisk starts the asterisk in PATH, or the one that is installed below
// PBX_ASTERISK_ROOT, which need not be a chroot: its programs are run with its
// own libraries.
func startAsterisk(t *testing.T) *asterisk {
	t.Helper()
	a := &asterisk{dir: t.TempDir(), root: os.Getenv("PBX_ASTERISK_ROOT"), port: freePort(t), ami: freePort(t)}
	if a.root == "" {
		requireProgram(t, "asterisk")
	}
	a.configure(t, asteriskSecret)
	a.start(t)
	return a
}

// configure writes Asterisk's files. The user other has a secret of its own.
func (a *asterisk) configure(t *testing.T, other string) {
	t.Helper()
	if err := os.MkdirAll(a.file("etc"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"asterisk.conf": `[directories]
astetcdir => $DIR/etc
astmoddir => $MODULES
astvarlibdir => $ROOT/var/lib/asterisk
astdatadir => $ROOT/usr/share/asterisk
astcachedir => $DIR
astdbdir => $DIR
astkeydir => $DIR
astagidir => $DIR
astspooldir => $DIR
astrundir => $DIR
astlogdir => $DIR
`,
		"modules.conf": `[modules]
autoload = no
load = res_security_log.so
`,
		"logger.conf": `[general]
[logfiles]
messages.log => notice,security
`,
		"http.conf": `[general]
enabled = yes
bindaddr = 127.0.0.1
bindport = $HTTP
`,
		"manager.conf": `[general]
enabled = yes
webenabled = yes
bindaddr = 127.0.0.1
port = $AMI
httptimeout = 20

[crm]
secret = $SECRET
read = system,call
write = system,call

[other]
secret = $OTHER

[single]
secret = $SECRET
allowmultiplelogin = no

[denied]
secret = $SECRET
deny = 0.0.0.0/0.0.0.0
`,
	} {
		text = strings.NewReplacer("$DIR", a.dir, "$ROOT", a.root, "$MODULES", a.modules(t), "$SECRET", asteriskSecret, "$OTHER", other,
			"$HTTP", fmt.Sprint(a.port), "$AMI", fmt.Sprint(a.ami)).Replace(text)
		if err := os.WriteFile(a.file("etc/"+name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// modules returns the directory of Asterisk's modules, as Debian has it.
func (a *asterisk) modules(t *testing.T) string {
	t.Helper()
	for _, pattern := range []string{"/usr/lib/*/asterisk/modules", "/usr/lib/asterisk/modules"} {
		if found, _ := filepath.Glob(a.root + pattern); len(found) > 0 {
			return found[0]
		}
	}
	t.Skipf("no modules of Asterisk below %s/usr/lib: see README.md", a.root)
	return ""
}

func (a *asterisk) file(name string) string { return filepath.Join(a.dir, name) }

// start starts Asterisk and waits until its manager responds.
func (a *asterisk) start(t *testing.T) {
	t.Helper()
	program, args := "asterisk", []string{"-f", "-C", a.file("etc/asterisk.conf")}
	if a.root != "" {
		libraries := filepath.Dir(filepath.Dir(a.modules(t)))
		args = append([]string{"--library-path", libraries, a.root + "/usr/sbin/asterisk"}, args...)
		program = a.root + "/lib64/ld-linux-x86-64.so.2"
	}
	a.process = startProcess(t, a.dir, program, args...)
	a.ready(t, fmt.Sprintf("127.0.0.1:%d", a.port))
	eventually(t, 10*time.Second, "Asterisk's manager responds", func() bool {
		resp, err := plainClient.Post(a.url()+"/rawman", form, strings.NewReader("Action=Ping"))
		return err == nil && body(t, resp) != "" && resp.StatusCode == 200
	})
}

func (a *asterisk) url() string { return fmt.Sprintf("http://127.0.0.1:%d", a.port) }

func (a *asterisk) account(t *testing.T, user, password string) func() pbx.Authenticator {
	t.Helper()
	return func() pbx.Authenticator {
		t.Helper()
		auth, err := pbx.Open("asterisk", pbx.Config{URL: a.url(), Username: user, Password: pbx.NewSecret(password)})
		if err != nil {
			t.Fatal(err)
		}
		return auth
	}
}

// log returns Asterisk's log. A thread of its own writes the security events.
func (a *asterisk) log(t *testing.T) string {
	t.Helper()
	pause(t, 300*time.Millisecond)
	text, err := os.ReadFile(a.file("messages.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// logins counts the logins in Asterisk's log.
func (a *asterisk) logins(t *testing.T) (good, wrong int) {
	t.Helper()
	text := []byte(a.log(t))
	return bytes.Count(text, []byte(`SecurityEvent="SuccessfulAuth"`)), bytes.Count(text, []byte("failed to authenticate as"))
}
