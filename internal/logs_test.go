package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"candor/internal/mailtest"
)

// TestLogsManual: docs/manual/logs.md names every message and every key that the code writes, and none that it does not.
// A message that is put together from parts is not seen here.
func TestLogsManual(t *testing.T) {
	manual := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(mailtest.Document(t, "docs/manual/logs.md"), -1) {
		manual[m[1]] = true
	}
	written, literals := logged(t)
	for text, where := range written {
		if !manual[text] {
			t.Errorf("docs/manual/logs.md does not tell of %q (%s)", text, where)
		}
	}
	for text := range manual {
		if !literals[text] {
			t.Errorf("docs/manual/logs.md tells of %q, which the code does not have", text)
		}
	}
}

// logCalls are the functions whose first text is a message, and whose further texts at odd places are keys if they
// are slog's own.
var logCalls = map[string]bool{
	"Info": true, "Warn": true, "Error": true, // slog
	"LogAttrs": true, "log": true, "logTLS": true, "logLogin": true, "persist": true,
}

// logged returns the messages and keys of all log calls with their places, and all text literals. Lines of level
// debug are never shown.
func logged(t *testing.T) (written map[string]string, literals map[string]bool) {
	written, literals = map[string]string{}, map[string]bool{}
	for _, root := range []string{"../cmd", "."} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "mailtest") {
				return err
			}
			files := token.NewFileSet()
			f, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if text, ok := literal(n); ok {
					literals[text] = true
				}
				if call, ok := n.(*ast.CallExpr); ok {
					for _, text := range logTexts(call) {
						written[text] = files.Position(call.Pos()).String()
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return written, literals
}

// logTexts returns the message and the keys of a call that logs or makes an attribute.
func logTexts(call *ast.CallExpr) []string {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	if x, ok := f.X.(*ast.Ident); ok && x.Name == "slog" && len(call.Args) > 1 {
		if key, ok := literal(call.Args[0]); ok {
			return []string{key}
		}
		return nil
	}
	if !logCalls[f.Sel.Name] {
		return nil
	}
	var texts []string
	message := -1
	for i, a := range call.Args {
		if level, ok := a.(*ast.SelectorExpr); ok && level.Sel.Name == "LevelDebug" {
			return nil
		}
		text, ok := literal(a)
		if ok && (message < 0 || (i-message)%2 == 1) {
			texts = append(texts, text)
		}
		if ok && message < 0 {
			message = i
		}
	}
	return texts
}

func literal(n ast.Node) (string, bool) {
	l, ok := n.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(l.Value)
	return text, err == nil
}
