package main

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var update = flag.Bool("update", false, "write the documents that are made from the code")

// TestCLIReference: docs/manual/cli.md is what the command line says of itself.
func TestCLIReference(t *testing.T) {
	const file = "../../docs/manual/cli.md"
	want := cliReference()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, file) != want {
		t.Errorf("%s is not true any more; write it with: go test ./cmd/candor -run CLIReference -update", file)
	}
}

// cliReference describes every command.
func cliReference() string {
	app := newParser(&cli{}).Model
	var b strings.Builder
	b.WriteString("# Command line\n\nMade from the program by `make docs`; `candor COMMAND --help` shows the same.\n\n" +
		"Exit codes: 0 done, 1 failed, 2 the command line was not understood.\n\nEvery command takes, anywhere after its name:\n\n")
	writeFlags(&b, app.Flags)
	b.WriteString("\nCommands that change or show data ask the running server, and work on the data folder when none runs.\n")
	for _, n := range app.Leaves(true) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n    candor %s\n", n.FullPath(), n.Help, n.Summary())
		if len(n.Positional)+len(n.Flags) == 0 {
			continue
		}
		b.WriteByte('\n')
		for _, p := range n.Positional {
			fmt.Fprintf(&b, "- `%s`: %s\n", p.Summary(), p.Help)
		}
		writeFlags(&b, n.Flags)
	}
	return b.String()
}

func writeFlags(b *strings.Builder, flags []*kong.Flag) {
	for _, f := range flags {
		fmt.Fprintf(b, "- `%s`: %s", f.String(), f.Help)
		if f.HasDefault {
			fmt.Fprintf(b, " Default: `%s`.", f.Default)
		}
		b.WriteByte('\n')
	}
}

// TestConfigurationManual: docs/manual/configuration.md names every key of the file and every rule that refuses one.
func TestConfigurationManual(t *testing.T) {
	manual := read(t, "../../docs/manual/configuration.md")
	for _, key := range tomlKeys(reflect.TypeFor[config]()) {
		if !strings.Contains(manual, key) {
			t.Errorf("no word of %s", key)
		}
	}
	rule := regexp.MustCompile(`CFG-[0-9]{2}`)
	for _, file := range []string{"rules.go", "insecure.go", "refusals.go", "../../internal/server/listen/certificates.go"} {
		for _, id := range rule.FindAllString(read(t, file), -1) {
			if !strings.Contains(manual, "| "+id+" |") {
				t.Errorf("no word of %s, by which %s refuses something", id, file)
			}
		}
	}
}

func tomlKeys(of reflect.Type) (keys []string) {
	for of.Kind() == reflect.Slice || of.Kind() == reflect.Map || of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct {
		return nil
	}
	for i := range of.NumField() {
		f := of.Field(i)
		if tag := f.Tag.Get("toml"); tag != "" {
			keys = append(append(keys, tag), tomlKeys(f.Type)...)
		}
	}
	return keys
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
