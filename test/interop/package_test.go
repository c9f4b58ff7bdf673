package interop

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"candor/internal/mailtest"
	"candor/internal/mailtest/tool"
)

// ownedByPackage are the paths that the package brings, or that a purge removes with all that is in them.
var ownedByPackage = []string{"/usr/bin/candor", "/lib/systemd/system/candor.service", "/lib/systemd/system/candor.socket", "/var/lib/candor", "/etc/candor"}

// requireBareSystem skips a test that installs the package where that could harm: a Candor of this machine would lose
// its mail with the purge, and a systemd would start the server beside the test's own.
func requireBareSystem(t *testing.T) {
	t.Helper()
	for _, path := range ownedByPackage {
		if _, err := os.Lstat(path); err == nil {
			tool.Lacking(t, path+" is there already: not touched")
		}
	}
	if _, err := user.Lookup("candor"); err == nil {
		tool.Lacking(t, "the user candor is there already: not touched")
	}
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		tool.Lacking(t, "systemd runs here: it would start what is installed")
	}
}

// TestPackage: the Debian package installs, serves as its unit says, keeps the mail over an upgrade and its removal,
// and is gone after a purge.
func TestPackage(t *testing.T) {
	dpkg := tool.Need(t, "dpkg")
	tool.Need(t, "dpkg-deb")
	tool.Need(t, "adduser")
	if os.Geteuid() != 0 {
		tool.Lacking(t, "dpkg installs only for root")
	}
	alone(t, "package") // there is one system to install into
	requireBareSystem(t)
	packages := t.TempDir()
	build := func(version string) string {
		t.Helper()
		out, err := output(t, "", "env", "CANDOR_BINARY="+binary, "DEB_DIR="+packages, "DEB_COMPRESS=none", "sh", "../../packaging/deb.sh", version)
		if err != nil {
			t.Fatalf("building the package: %v\n%s", err, out)
		}
		files, _ := filepath.Glob(filepath.Join(packages, "candor_"+version+"_*.deb"))
		return files[0]
	}
	s := &server{t: t, dir: "/var/lib/candor", config: "/var/lib/candor/candor.toml", cert: "/var/lib/candor/tls/cert.pem", log: &mailtest.Buffer{}}
	old, upgrade := build("1.0"), build("1.1~rc1")
	if again, err := os.ReadFile(old); err != nil {
		t.Fatal(err)
	} else if build("1.0"); string(again) != string(contents(t, old)) {
		t.Error("the same tree gives another package")
	}
	lint(t, old)
	t.Cleanup(func() { output(t, "", dpkg, "--purge", "candor") })
	if out := s.must("", dpkg, "--install", old); !strings.Contains(out, "candor quickstart") {
		t.Errorf("the first installation does not say what to do next:\n%s", out)
	}

	asCandor := []string{"--reuid=candor", "--regid=candor", "--clear-groups", "--"}
	s.must("", "setpriv", append(asCandor, "candor", "quickstart", "--hostname", hostname, "--domain", "example.org", "--data", s.dir)...)
	s.listenAtFree("")
	if out, err := output(t, "", "candor", "account", "list"); err == nil || !strings.Contains(out, "runuser -u candor") {
		t.Errorf("root works on the data folder of candor: %v, %s", err, out)
	}
	s.must("secret\n", "setpriv", append(asCandor, "candor", "account", "add", "ann@example.org", "--password-stdin")...)
	start := func() {
		t.Helper()
		s.runAs(func() {}, "setpriv", append(asCandor, execStart(t)...)...)
	}
	start()
	s.sendPlain(t, "ann@example.org", "packed")
	s.waitFor(t, "ann@example.org", "packed")
	if out := s.must("", "candor", "status"); !strings.Contains(out, hostname+" has been running") {
		t.Errorf("status through /etc/candor: %s", out)
	}
	s.must("", "candor", "reload")

	s.must("", dpkg, "--install", upgrade)
	s.stop()
	start()
	s.waitFor(t, "ann@example.org", "packed")
	s.stop()

	s.must("", dpkg, "--remove", "candor")
	if _, err := os.Stat("/usr/bin/candor"); err == nil {
		t.Error("the program is there after removal")
	}
	if _, err := os.Stat(filepath.Join(s.dir, "store")); err != nil {
		t.Errorf("removal took the mail: %v", err)
	}
	s.must("", dpkg, "--purge", "candor")
	for _, path := range ownedByPackage {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is there after a purge", path)
		}
	}
	if _, err := user.Lookup("candor"); err == nil {
		t.Error("the user candor is there after a purge")
	}
}

// lint runs lintian, which takes its time, where it is installed and time is not short. What it would say of the program
// under test and of a package without compression is not true of one that is given away.
func lint(t *testing.T, file string) {
	lintian, err := exec.LookPath("lintian")
	if err != nil || os.Getenv("CANDOR_SOAK") == "" {
		return
	}
	ours := "unstripped-binary-or-object,missing-dependency-on-libc,uses-no-compression-for-control-tarball,uses-no-compression-for-data-tarball"
	if out, err := output(t, "", lintian, "--fail-on", "error", "--suppress-tags", ours, file); err != nil {
		t.Errorf("lintian: %v\n%s", err, out)
	}
}

// execStart is how the installed unit starts the server.
func execStart(t *testing.T) []string {
	t.Helper()
	for line := range strings.Lines(string(contents(t, "/lib/systemd/system/candor.service"))) {
		if command, ok := strings.CutPrefix(line, "ExecStart="); ok {
			return strings.Fields(command)
		}
	}
	t.Fatal("the unit starts nothing")
	return nil
}

func contents(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
