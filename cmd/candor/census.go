package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"candor/internal/mail"
	"candor/internal/store/directory"
)

// censor is what commands ask for that concerns who logs in by what.
type censor interface {
	CensusReport(ctx context.Context, days int, remove string) (directory.CensusReport, error)
	CensusRows(ctx context.Context, a mail.Address, days int) ([]directory.CensusRow, error)
	Trials(context.Context) ([]directory.TrialSeen, error)
	StartTrial(ctx context.Context, a mail.Address, remove string, hours int) (directory.Trial, error)
	EndTrial(ctx context.Context, a mail.Address, remove string) error
	Exposed(context.Context) ([]directory.Exposed, error)
	ProgramHints(context.Context, mail.Address) ([]directory.ProgramUse, error)
}

type authCensusCmd struct {
	Report censusReportCmd `cmd:"" default:"withargs" help:"Show by what mechanisms people log in; with --remove, what becomes of whom without one."`
	Rows   censusRowsCmd   `cmd:"" help:"List what is known of the attempts to log in: one line for those of a day that differ in nothing but their time."`
	Trial  censusTrialCmd  `cmd:"" help:"Hide a mechanism from the networks of one account for a while; without --remove, show what came of it."`
}

type censusReportCmd struct {
	Days   int    `default:"30" help:"How many days to look back." placeholder:"N"`
	Remove string `help:"The mechanism whose end is considered, such as DIGEST-MD5; IMAP-LOGIN and POP3-USER are the commands." placeholder:"MECHANISM" xor:"what"`

	Verifiers bool `help:"List the accounts with a password that has no SCRAM keys: one that came as a hash of another server and was not used since, for the most part." xor:"what"`
}

// Run prints the report.
func (r *censusReportCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	if r.Verifiers {
		return listOldPasswords(ctx, c, std)
	}
	return operate(ctx, c, func(o operator) error {
		report, err := o.CensusReport(ctx, r.Days, r.Remove)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(std.out).Encode(report)
		}
		if report.Remove == "" {
			return writeMechanisms(std.out, &report)
		}
		return writeRemoval(std.out, &report)
	})
}

// writeMechanisms prints who logs in by what.
func writeMechanisms(w io.Writer, r *directory.CensusReport) error {
	if len(r.Mechanisms) == 0 {
		fmt.Fprintf(w, "Nobody has tried to log in since %s.\n", r.Since.Format(time.DateOnly))
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MECHANISM\tACCOUNTS\tONLY THIS\tLAST USE\tANOTHER WORKS\tVERIFIERS\tREFUSED\tPROGRAMS")
	for _, m := range r.Mechanisms {
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%d yes, %d no, %d never tried\t%d\t%d\t%s\n", m.Mechanism, m.Accounts, m.OnlyThis, dayWords(m.LastUse),
			m.Replacement.Yes, m.Replacement.No, m.Replacement.Never, m.AtRest, m.Refused, cmp.Or(strings.Join(m.Programs, "; "), "-"))
	}
	return t.Flush()
}

func dayWords(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(time.DateOnly)
}

// writeRemoval prints the three lists.
func writeRemoval(w io.Writer, r *directory.CensusReport) error {
	if len(r.KeepsWorking)+len(r.NeedsSetting)+len(r.Unknown) == 0 {
		fmt.Fprintf(w, "Nothing breaks: nobody has used %s since %s, nor asked for it.\n", r.Remove, r.Since.Format(time.DateOnly))
		return nil
	}
	for _, list := range []struct {
		title string
		of    []directory.Affected
	}{
		{"Will keep working", r.KeepsWorking}, {"Needs a changed setting", r.NeedsSetting}, {"Unknown", r.Unknown},
	} {
		fmt.Fprintf(w, "%s: %d\n", list.title, len(list.of))
		for i := range list.of {
			writeAffected(w, &list.of[i])
		}
	}
	return nil
}

func writeAffected(w io.Writer, a *directory.Affected) {
	who := a.Account.String()
	if a.Account == (mail.Address{}) {
		who = "somebody at " + networkWords(a.Network)
		if len(a.Nearby) > 0 {
			names := make([]string, len(a.Nearby))
			for i, n := range a.Nearby {
				names[i] = n.String()
			}
			who += " (from there logs in: " + strings.Join(names, ", ") + ")"
		}
	}
	fmt.Fprintf(w, "  %s, %s, %s, last %s: %s.\n", who, a.Service, cmp.Or(a.Program, a.Client, "a program without a name"), a.Last.Format(time.DateOnly), a.Because)
	if a.Setting != "" {
		fmt.Fprintf(w, "    Change: %s.\n", a.Setting)
	}
	if a.Test != "" {
		fmt.Fprintf(w, "    Try: %s\n", a.Test)
	}
}

func networkWords(n netip.Prefix) string {
	if !n.IsValid() {
		return "many networks"
	}
	return n.String()
}

type censusRowsCmd struct {
	Account string `help:"Of this account alone." placeholder:"ADDRESS"`
	Days    int    `default:"30" help:"How many days to look back." placeholder:"N"`
}

// Run lists rows.
func (r *censusRowsCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	address, err := optionalAddress(r.Account)
	if err != nil {
		return err
	}
	return operate(ctx, c, func(o operator) error {
		rows, err := o.CensusRows(ctx, address, r.Days)
		if err != nil {
			return err
		}
		return list(std.out, c.JSON, rows, func(r directory.CensusRow) string {
			who := cmp.Or(r.Account.String(), "-")
			if r.Account == (mail.Address{}) {
				who = cmp.Or(r.Name, "-")
			}
			return strings.Join([]string{
				r.Last.Format("2006-01-02 15:04"), fmt.Sprint(r.Times), who, string(r.Service), r.Mechanism,
				cmp.Or(r.Reason, "ok"), r.State.String(), networkWords(r.Network), cmp.Or(r.Client, "-"),
			}, "\t")
		})
	})
}

// optionalAddress parses an address, or nothing.
func optionalAddress(s string) (mail.Address, error) {
	if s == "" {
		return mail.Address{}, nil
	}
	return mail.ParseAddress(s)
}

type censusTrialCmd struct {
	Remove  string `help:"The mechanism to hide, such as LOGIN." placeholder:"MECHANISM"`
	Account string `help:"The account whose programs are watched." placeholder:"ADDRESS"`
	Hours   int    `default:"24" help:"How long." placeholder:"N"`
	Stop    bool   `help:"End the trial now."`
}

// Run begins, ends or shows trials.
func (t *censusTrialCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	if (t.Remove == "") != (t.Account == "") || t.Stop && t.Remove == "" {
		return errors.New("name both, --remove MECHANISM and --account ADDRESS")
	}
	address, err := optionalAddress(t.Account)
	if err != nil {
		return err
	}
	return operate(ctx, c, func(o operator) error {
		switch {
		case t.Remove == "":
			return listTrials(ctx, c, std, o)
		case t.Stop:
			return o.EndTrial(ctx, address, t.Remove)
		}
		trial, err := o.StartTrial(ctx, address, t.Remove, t.Hours)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(std.out).Encode(trial)
		}
		fmt.Fprintf(std.out, "Until %s, %s is not offered to %s, from where %s logs in, nor to others there.\nSee what comes of it: candor auth census trial\n",
			trial.Until.Format(time.RFC3339), trial.Mechanism, prefixWords(trial.Networks), trial.Account)
		return nil
	})
}

func prefixWords(all []netip.Prefix) string {
	words := make([]string, len(all))
	for i, n := range all {
		words[i] = n.String()
	}
	return strings.Join(words, ", ")
}

func listTrials(ctx context.Context, c *cli, std *stdio, o operator) error {
	trials, err := o.Trials(ctx)
	if err != nil {
		return err
	}
	if len(trials) == 0 && !c.JSON {
		fmt.Fprintln(std.out, "There was no trial.")
	}
	return list(std.out, c.JSON, trials, func(t directory.TrialSeen) string {
		when := "ended " + t.Until.Format("2006-01-02 15:04")
		if t.Running {
			when = "until " + t.Until.Format("2006-01-02 15:04")
		}
		var seen []string
		for _, p := range t.Programs {
			words := map[string]string{"works": "works by " + p.Instead, "fails": "asks for it and fails", "not-seen": "not seen yet"}[p.Outcome]
			seen = append(seen, fmt.Sprintf("%s %s: %s", p.Service, cmp.Or(p.Client, "program without a name"), words))
		}
		return strings.Join([]string{t.Account.String(), "without " + t.Mechanism, when, cmp.Or(strings.Join(seen, "; "), "nothing seen")}, "\t")
	})
}

type authExposedCmd struct{}

// Run lists the exposed credentials.
func (*authExposedCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	return operate(ctx, c, func(o operator) error {
		all, err := o.Exposed(ctx)
		if err != nil {
			return err
		}
		if len(all) == 0 && !c.JSON {
			fmt.Fprintln(std.out, "No password that is in use was seen without encryption.")
		}
		return list(std.out, c.JSON, all, func(e directory.Exposed) string {
			what, now := "main password", "works on"
			if e.Name != "" {
				what = fmt.Sprintf("app password %q", e.Name)
			}
			if !e.Ends.IsZero() {
				now = "refused from " + e.Ends.Format("2006-01-02 15:04") + " on"
			}
			return strings.Join([]string{
				e.Account.String(), what, e.At.Format("2006-01-02 15:04"), e.From.String(), fmt.Sprintf("%s:%d", e.Service, e.Port), now,
			}, "\t")
		})
	})
}
