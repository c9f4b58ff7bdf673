package interop

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"candor/internal/mailtest"
	"candor/internal/mailtest/tool"
)

// marionette is the remote control of a Mozilla program. Its messages are JSON, each behind its length and a colon.
type marionette struct {
	conn   net.Conn
	from   *bufio.Reader
	number int
}

func (m *marionette) read(v any) error {
	length, err := m.from.ReadString(':')
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, ":"))
	if err != nil {
		return err
	}
	message := make([]byte, n)
	if _, err := io.ReadFull(m.from, message); err != nil {
		return err
	}
	return json.Unmarshal(message, v)
}

// call runs a command and decodes its result into v, unless that is nil.
func (m *marionette) call(command string, params, v any) error {
	m.number++
	message, err := json.Marshal([]any{0, m.number, command, params})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(m.conn, "%d:%s", len(message), message); err != nil {
		return err
	}
	var answer [4]json.RawMessage // type, number, error, result
	if err := m.read(&answer); err != nil {
		return err
	}
	if string(answer[2]) != "null" {
		return errors.New(string(answer[2]))
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(answer[3], v)
}

// script runs a script with the rights of the program itself and decodes what it returns into v, unless that is nil.
func (m *marionette) script(script string, v any, args ...any) error {
	result := struct {
		Value any `json:"value"`
	}{v}
	if args == nil {
		args = []any{}
	}
	return m.call("WebDriver:ExecuteScript", map[string]any{"script": script, "args": args, "sandbox": "system", "newSandbox": false}, &result)
}

// display starts an X server without a screen and returns its name; it ends with the test.
func display(t testing.TB) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(tool.Need(t, "Xvfb"), "-displayfd", "3", "-screen", "0", "1024x768x24", "-nolisten", "tcp")
	cmd.ExtraFiles = []*os.File{w}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	w.Close()
	r.SetReadDeadline(time.Now().Add(20 * time.Second))
	number, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb: %v", err)
	}
	return ":" + strings.TrimSpace(number)
}

// thunderbirdSettings keep the program from all that is not asked of it, and lead it to the server under test.
const thunderbirdSettings = `user_pref("marionette.port", 0);
user_pref("network.dns.localDomains", "` + hostname + `");
user_pref("network.dns.disableIPv6", true);
user_pref("app.update.enabled", false);
user_pref("services.settings.server", "data:,");
user_pref("datareporting.healthreport.uploadEnabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("mail.provider.suppress_dialog_on_startup", true);
user_pref("mail.shell.checkDefaultClient", false);
user_pref("mailnews.start_page.enabled", false);
`

// startThunderbird starts Thunderbird with a new profile; it ends with the test.
func startThunderbird(t testing.TB) *marionette {
	t.Helper()
	program := tool.Need(t, "thunderbird")
	profile := t.TempDir()
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(thunderbirdSettings), 0o600); err != nil {
		t.Fatal(err)
	}
	said := &mailtest.Buffer{}
	cmd := exec.Command(program, "--profile", profile, "--no-remote", "--marionette", "--remote-allow-system-access")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C.UTF-8", "DISPLAY="+display(t))
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // with the processes that it started
		cmd.Wait()
	})
	m, err := control(profile)
	if err != nil {
		t.Fatalf("Thunderbird: %v\n%s", err, said)
	}
	t.Cleanup(func() { m.conn.Close() })
	return m
}

// control waits until the program listens and takes control of it.
func control(profile string) (*marionette, error) {
	var port []byte
	for end := time.Now().Add(time.Minute); len(port) == 0; time.Sleep(50 * time.Millisecond) {
		port, _ = os.ReadFile(filepath.Join(profile, "MarionetteActivePort"))
		if time.Now().After(end) {
			return nil, errors.New("it does not listen after a minute")
		}
	}
	conn, err := net.Dial("tcp", "127.0.0.1:"+strings.TrimSpace(string(port)))
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(3 * time.Minute))
	m := &marionette{conn: conn, from: bufio.NewReader(conn)}
	if err := m.read(new(any)); err != nil {
		return nil, err
	}
	always := map[string]any{"alwaysMatch": map[string]any{"unhandledPromptBehavior": "ignore"}}
	if err := m.call("WebDriver:NewSession", map[string]any{"capabilities": always}, nil); err != nil {
		return nil, err
	}
	return m, m.call("Marionette:SetContext", map[string]any{"value": "chrome"}, nil)
}
