package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"candor/internal/mail"
	"candor/internal/server/web"
	"candor/internal/store/directory"
)

type accountImportCmd struct {
	File   string `arg:"" help:"Lines as in Dovecot's passwd-file: ADDRESS:{SCHEME}HASH, more fields are ignored; - is standard input."`
	Domain string `help:"Domain of names without one." placeholder:"DOMAIN"`
}

// importedLine is a line that names an account.
type importedLine struct {
	number  int
	account directory.ImportedAccount
}

const (
	maxImportLine = 4096 // octets
	importBatch   = 200  // accounts, well within a request
)

// Run makes the accounts, and tells of each line that is left out.
func (a *accountImportCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	in, err := a.open(std)
	if err != nil {
		return err
	}
	defer in.Close()
	var added, leftOut int
	refuse := func(line int, why string) {
		leftOut++
		fmt.Fprintf(std.err, "line %d is left out: %s\n", line, why)
	}
	err = operate(ctx, c, func(o operator) error {
		var batch []importedLine
		flush := func() error {
			refused, err := importAccounts(ctx, o, batch)
			for i, why := range refused {
				if why != "" {
					refuse(batch[i].number, why)
				} else {
					added++
				}
			}
			batch = batch[:0]
			return err
		}
		lines := bufio.NewScanner(in)
		lines.Buffer(nil, maxImportLine)
		for n := 1; lines.Scan(); n++ {
			account, named, err := a.parse(lines.Text())
			switch {
			case err != nil:
				refuse(n, mail.AsError(err).Text)
			case named:
				batch = append(batch, importedLine{n, account})
			}
			if len(batch) == importBatch {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		return errors.Join(lines.Err(), flush())
	})
	if c.JSON {
		_ = json.NewEncoder(std.out).Encode(map[string]int{"added": added, "left_out": leftOut})
	} else {
		fmt.Fprintf(std.out, "%d accounts are added.\n", added)
	}
	if err == nil && leftOut > 0 {
		err = fmt.Errorf("%d lines are left out", leftOut)
	}
	return err
}

// importAccounts makes the accounts of some lines.
func importAccounts(ctx context.Context, o operator, batch []importedLine) (web.AccountImport, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	accounts := make([]directory.ImportedAccount, len(batch))
	for i := range batch {
		accounts[i] = batch[i].account
	}
	return o.ImportAccounts(ctx, accounts)
}

func (a *accountImportCmd) open(std *stdio) (io.ReadCloser, error) {
	if a.File == "-" {
		return io.NopCloser(std.in), nil
	}
	return os.Open(a.File)
}

// realmHash is a hash that has colons of its own.
var realmHash = regexp.MustCompile(`^\{(?i:DIGEST-MD5)\}[^:]*:[^:]*:[0-9a-fA-F]{32}`)

// parse reads a line; an empty one or a comment names no account.
func (a *accountImportCmd) parse(line string) (account directory.ImportedAccount, named bool, err error) {
	if line = strings.TrimRight(line, "\r"); line == "" || line[0] == '#' {
		return account, false, nil
	}
	name, rest, _ := strings.Cut(line, ":")
	if !strings.Contains(name, "@") && a.Domain != "" {
		name += "@" + a.Domain
	}
	if account.Address, err = mail.ParseAddress(name); err != nil {
		return account, false, err
	}
	account.Hash, _, _ = strings.Cut(rest, ":")
	if h := realmHash.FindString(rest); h != "" {
		account.Hash = h
	}
	return account, true, nil
}
