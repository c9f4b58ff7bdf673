// Package internal_test checks the house: who may import whom, and that every package says what it is.
package internal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// permitted is the import table, lowest layer first: package, then what it may import of Candor
// besides mail. Tests may also import mailtest.
var permitted = map[string]string{
	"mail": "",

	"message":     "",
	"proto/smtp":  "",
	"proto/sasl":  "",
	"proto/imap":  "message",
	"trust/dns":   "",
	"trust/oauth": "",

	"store/kv":        "",
	"store/mailbox":   "message store/kv",
	"store/directory": "proto/sasl store/kv",
	"store/mailfile":  "proto/imap",
	"store/backup":    "",

	"transit/queue":   "message store/kv",
	"transit/deliver": "message store/kv store/directory store/mailbox transit/queue",
	"transit/relay":   "proto/smtp trust/dns store/kv transit/queue",

	"server/listen": "",
	"server/smtpd":  "message proto/smtp proto/sasl store/directory transit/queue server/listen",
	"server/imapd":  "message proto/imap proto/sasl store/directory store/mailbox server/listen",
	"server/pop3d":  "message proto/sasl store/directory store/mailbox server/listen",
	"server/web":    "message store/kv store/directory store/mailbox transit/queue",

	"mailtest/tool": "",
	"mailtest":      "message proto/sasl store/kv store/mailbox store/directory transit/queue server/listen server/web",
}

type goPackage struct {
	ImportPath, Dir, Doc                        string
	Imports, TestImports, XTestImports, GoFiles []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,Imports,TestImports,XTestImports,GoFiles", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" && !strings.HasPrefix(p.ImportPath, "candor/test/") {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
		name, ok := strings.CutPrefix(p.ImportPath, "candor/internal/")
		if !ok {
			continue
		}
		allowed, known := permitted[name]
		if !known {
			t.Errorf("%s is not in the import table", name)
			continue
		}
		may := map[string]bool{"mail": true, name: true}
		for _, s := range strings.Fields(allowed) {
			may[s] = true
		}
		for _, imp := range p.Imports {
			if dep, ok := strings.CutPrefix(imp, "candor/"); ok && !may[strings.TrimPrefix(dep, "internal/")] {
				t.Errorf("%s imports %s, which the table does not permit", name, dep)
			}
		}
		may["mailtest"], may["mailtest/tool"] = true, true
		for _, imp := range append(p.TestImports, p.XTestImports...) {
			dep, ok := strings.CutPrefix(imp, "candor/internal/")
			if !ok || may[dep] {
				continue
			}
			// A test may use any layer below its own.
			if layer(dep) >= layer(name) && dep != "store/kv" {
				t.Errorf("a test of %s imports %s, which is not below it", name, dep)
			}
		}
	}
}

func layer(name string) int {
	for i, l := range []string{"mail", "message", "proto", "trust", "store", "transit", "server"} {
		if name == l || strings.HasPrefix(name, l+"/") {
			return i
		}
	}
	return 99
}

// TestEncryptedByException: only server/listen may except a connection from encryption, or believe a proxy.
func TestEncryptedByException(t *testing.T) {
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		if strings.HasPrefix(filepath.ToSlash(path), "../internal/server/listen/") || strings.HasPrefix(filepath.ToSlash(path), "../internal/mail/") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && (s.Sel.Name == "EncryptedByException" || s.Sel.Name == "EncryptedAtProxy") {
				t.Errorf("%s calls mail.%s", path, s.Sel.Name)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
