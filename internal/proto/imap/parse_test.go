package imap

import (
	"strings"
	"testing"
	"time"

	"candor/internal/mail"
	"candor/internal/message"
	"github.com/google/go-cmp/cmp"
)

func parseLine(t *testing.T, line string) (any, error) {
	t.Helper()
	c, err := NewReader(newText("a "+line+"\r\n")).Next(Limits{Line: 65536, Literals: 65536}, func(Command) error { return nil })
	if err != nil {
		return nil, err
	}
	return c.Parse()
}

func num(n uint64) *uint64 { return &n }

func seq(s ...uint32) NumSet {
	var set NumSet
	for i := 0; i < len(s); i += 2 {
		set.Ranges = append(set.Ranges, NumRange{s[i], s[i+1]})
	}
	return set
}

func TestParse(t *testing.T) {
	day := time.Date(1994, 2, 1, 0, 0, 0, 0, time.UTC)
	for line, want := range map[string]any{
		"NOOP":                      None{},
		"ID NIL":                    ID{},
		`ID ("name" "x" "os" NIL)`:  ID{Fields: []string{"name", "x", "os", ""}},
		"ENABLE condstore X":        Enable{Capabilities: []string{"CONDSTORE", "X"}},
		`LOGIN ann "p\"\\w"`:        Login{User: "ann", Password: []byte(`p"\w`)},
		"LOGIN {3+}\r\na\nb pw]":    Login{User: "a\nb", Password: []byte("pw]")},
		"AUTHENTICATE plain":        Authenticate{Mechanism: "PLAIN"},
		"AUTHENTICATE PLAIN =":      Authenticate{Mechanism: "PLAIN", Initial: []byte{}},
		"AUTHENTICATE PLAIN YQ==":   Authenticate{Mechanism: "PLAIN", Initial: []byte("a")},
		"SELECT inbox":              Select{Mailbox: "inbox"},
		"SELECT ~ann/x":             Select{Mailbox: "~ann/x"},
		"COPY 1 ~":                  Copy{seq(1, 1), "~"},
		"EXAMINE a (CONDSTORE)":     Select{Mailbox: "a", CondStore: true},
		"SELECT a (QRESYNC (7 20))": Select{Mailbox: "a", QResync: &QResync{UIDValidity: 7, ModSeq: 20}},
		"SELECT a (QRESYNC (7 20 1:5,9) CONDSTORE)":          Select{Mailbox: "a", CondStore: true, QResync: &QResync{UIDValidity: 7, ModSeq: 20, Known: seq(1, 5, 9, 9)}},
		"SELECT a (QRESYNC (7 20 (1,3:4 5,8:9)))":            Select{Mailbox: "a", QResync: &QResync{UIDValidity: 7, ModSeq: 20, Numbers: seq(1, 1, 3, 4), UIDs: seq(5, 5, 8, 9)}},
		"EXAMINE a (QRESYNC (7 20 5:4294967295 (1 5)))":      Select{Mailbox: "a", QResync: &QResync{UIDValidity: 7, ModSeq: 20, Known: seq(5, 4294967295), Numbers: seq(1, 1), UIDs: seq(5, 5)}},
		"UID FETCH 1:* FLAGS (CHANGEDSINCE 7 VANISHED)":      Fetch{Set: seq(1, 0), Items: FetchFlags | FetchModSeq, ChangedSince: num(7), Vanished: true},
		"UID FETCH 1:* FLAGS (PARTIAL -1:-3 CHANGEDSINCE 7)": Fetch{Set: seq(1, 0), Items: FetchFlags | FetchModSeq, ChangedSince: num(7), Page: &Page{1, 3, true}},
		"UID SEARCH RETURN (PARTIAL 500:400 COUNT) ALL":      Search{Extended: true, Return: ReturnPartial | ReturnCount, Page: &Page{500, 400, false}},
		`CREATE a (USE (\Sent))`:                             Create{Mailbox: "a", Uses: []string{`\Sent`}},
		"RENAME a b":                                         Rename{"a", "b"},
		"STATUS a (messages SIZE)":                           Status{"a", StatusMessages | StatusSize},
		"COPY 1,3:* x":                                       Copy{seq(1, 1, 3, 0), "x"},
		"UID EXPUNGE $":                                      UIDExpunge{NumSet{Saved: true}},
		`LIST "" %`:                                          List{Patterns: []string{"%"}},
		`LIST (SUBSCRIBED RECURSIVEMATCH) a (b* "c d") RETURN (CHILDREN STATUS (UNSEEN))`: List{
			Subscribed: true, Recursive: true, Reference: "a", Patterns: []string{"b*", "c d"},
			Return: ListReturn{Children: true, Status: StatusUnseen},
		},
		`STORE 1 FLAGS \seen Work`: Store{Set: seq(1, 1), Flags: []string{`\Seen`, "Work"}},
		`UID STORE 1:2 (UNCHANGEDSINCE 5) -flags.silent (\Deleted)`: Store{
			Set: seq(1, 2), Mode: RemoveFlags, Silent: true, Flags: []string{`\Deleted`}, UnchangedSince: num(5),
		},
		"FETCH 1 ALL":  Fetch{Set: seq(1, 1), Items: macroAll},
		"FETCH 1 BODY": Fetch{Set: seq(1, 1), Items: FetchBody},
		"FETCH 1 (UID RFC822.SIZE body.peek[1.2.HEADER.FIELDS (To \"From\")]<5.10>)": Fetch{
			Set: seq(1, 1), Items: FetchUID | FetchSize,
			Bodies: []BodyItem{{
				Section: message.Section{Path: []int{1, 2}, Kind: message.HeaderFields, Fields: []string{"To", "From"}},
				Peek:    true, Partial: &Partial{5, 10}, Label: "BODY[1.2.HEADER.FIELDS (To From)]<5>",
			}},
		},
		"FETCH 1 BINARY.SIZE[3]":            Fetch{Set: seq(1, 1), Bodies: []BodyItem{{Kind: BinarySize, Peek: true, Section: message.Section{Path: []int{3}}, Label: "BINARY.SIZE[3]"}}},
		"FETCH 1 FLAGS (CHANGEDSINCE 7)":    Fetch{Set: seq(1, 1), Items: FetchFlags | FetchModSeq, ChangedSince: num(7)},
		"SEARCH ALL":                        Search{Key: SearchKey{}},
		"SEARCH UNSEEN 2:4":                 Search{Numbers: true, Key: SearchKey{Keys: []SearchKey{not(flagged(`\Seen`)), {Op: SearchSet, Set: seq(2, 4)}}}},
		"SEARCH RETURN () SINCE 1-feb-1994": Search{Extended: true, Return: ReturnAll, Key: SearchKey{Op: SearchSince, Date: day}},
		"SEARCH RETURN (SAVE) OR FROM a (TO b CC c)": Search{Extended: true, Return: ReturnSave, Key: SearchKey{Op: SearchOr, Keys: []SearchKey{
			{Op: SearchHeader, Field: "From", Text: "a"},
			{Keys: []SearchKey{{Op: SearchHeader, Field: "To", Text: "b"}, {Op: SearchHeader, Field: "Cc", Text: "c"}}},
		}}},
		`SEARCH CHARSET utf-8 TEXT "ü"`:                   Search{Charset: "UTF-8", Key: SearchKey{Op: SearchText, Text: "ü"}},
		`SEARCH CHARSET KOI8-R SUBJECT {1+}` + "\r\n\xff": Search{Charset: "KOI8-R"},
		`SEARCH MODSEQ "/flags/\\seen" all 9`:             Search{ModSeq: true, Key: SearchKey{Op: SearchModSeq, Number: 9}},
	} {
		got, err := parseLine(t, line)
		if err != nil {
			t.Errorf("%q: %v", line, err)
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q (-want +got):\n%s", line, d)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, line := range []string{
		"NOOP x", "NOOP ", "ID", `ID ("a")`, "ENABLE", "LOGIN a", "LOGIN a b c", `LOGIN "a b`, `LOGIN "\a" b`, "LOGIN \"\xff\" b",
		"SELECT", "SELECT ~{1+}\r\na", "SELECT a (QRESYNC (1))", "SELECT a (QRESYNC (0 2))", "SELECT a (QRESYNC (1 0))", "SELECT a (QRESYNC (1 2 *))", "SELECT a (QRESYNC (1 2 $))",
		"SELECT a (QRESYNC (1 2 1:* (1 1)))", "SELECT a (QRESYNC (1 2 (1)))", "SELECT a (QRESYNC (1 2 (1:2 1)))", "SELECT a (QRESYNC (1 2 (2,1 1:2)))", "SELECT a (QRESYNC (1 2 (1:2 7,6)))", "SELECT a (QRESYNC 1 2)",
		"FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)", "UID FETCH 1 FLAGS (VANISHED)", "FETCH 1 FLAGS (PARTIAL 1:2)", "UID FETCH 1 FLAGS (PARTIAL 0:1)", "UID FETCH 1 FLAGS (PARTIAL 1:-1)", "UID FETCH 1 FLAGS (PARTIAL -1:1)", "UID FETCH 1 FLAGS (PARTIAL 1:*)",
		"SEARCH RETURN (PARTIAL) ALL", "SEARCH RETURN (PARTIAL 1:2 ALL) ALL", "SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL", "SEARCH RETURN (ALL PARTIAL -1:-2) ALL",
		"SELECT a b", "CREATE a (X)", "STATUS a ()", "STATUS a (X)", "STATUS a MESSAGES",
		"COPY 0 x", "COPY 1: x", "COPY 1,, x", "COPY 4294967296 x", "COPY a x", "COPY 01 x", "COPY 1",
		`LIST (RECURSIVEMATCH) "" *`, `LIST "" * RETURN (X)`, `LIST "" "`, `LSUB "" a b`,
		"STORE 1 FLAGS", "STORE 1 FLAG (x)", "STORE 1 (X 1) FLAGS ()", `STORE 1 FLAGS (\)`,
		"FETCH 1", "FETCH 1 ()", "FETCH 1 (ALL)", "FETCH 1 BODY[", "FETCH 1 BODY[X]", "FETCH 1 BODY[0]", "FETCH 1 BODY[1.]x", "FETCH 1 BODY[MIME]",
		"FETCH 1 BODY[]<0.0>", "FETCH 1 BODY[HEADER.FIELDS ()]", "FETCH 1 BINARY[TEXT]", "FETCH 1 FLAGS (CHANGEDSINCE)",
		"FETCH 1 BODY[" + strings.Repeat("1.", 200) + "1]",
		"SEARCH", "SEARCH X", "SEARCH NOT", "SEARCH OR ALL", "SEARCH (ALL", "SEARCH SINCE 32-Feb-1994", "SEARCH LARGER x", "SEARCH RETURN (X) ALL",
		"SEARCH " + strings.Repeat("NOT ", 100) + "ALL", "SEARCH " + strings.Repeat("(", 100) + "ALL" + strings.Repeat(")", 100),
		"SEARCH TEXT {1+}\r\n\xff", "UID NOOP", "FOO",
	} {
		if got, err := parseLine(t, line); !mail.IsKind(err, mail.Syntax) {
			t.Errorf("%.80q: got %+v, %v; want a Syntax error", line, got, err)
		}
	}
}

func TestNumSetRoundTrip(t *testing.T) {
	for _, s := range []string{"1", "*", "$", "1:*", "*:4", "1,3:5,9:2", "4294967295"} {
		l := lexer{b: []byte(s)}
		if got := l.numSet(); l.err != nil || len(l.b) > 0 || got.String() != s {
			t.Errorf("%q: got %q, %v", s, got, l.err)
		}
	}
}

func FuzzNumSet(f *testing.F) {
	f.Add("1,3:5,*:2")
	f.Fuzz(func(t *testing.T, s string) {
		l := lexer{b: []byte(s)}
		set := l.numSet()
		if l.err != nil {
			return
		}
		again := lexer{b: []byte(set.String())}
		if got := again.numSet(); again.err != nil || cmp.Diff(set, got) != "" {
			t.Fatalf("%q: %q is read as %q, %v", s, set, got, again.err)
		}
	})
}

func TestMUTF7(t *testing.T) {
	for name, wire := range map[string]string{
		"INBOX": "INBOX", "a&b": "a&-b", "~peter/mail/台北/日本語": "~peter/mail/&U,BTFw-/&ZeVnLIqe-", "ärger": "&AOQ-rger", "😀": "&2D3eAA-",
	} {
		if got := EncodeMUTF7(name); got != wire {
			t.Errorf("EncodeMUTF7(%q) = %q, want %q", name, got, wire)
		}
		if got, err := DecodeMUTF7(wire); err != nil || got != name {
			t.Errorf("DecodeMUTF7(%q) = %q, %v; want %q", wire, got, err, name)
		}
	}
	if got, err := DecodeMUTF7("ä&-b"); err != nil || got != "ä&b" {
		t.Errorf("in UTF-8: got %q, %v", got, err)
	}
	// Not closed, not base64, what needs no shift, half a surrogate, two shifts in a row, 8 bits.
	for _, wire := range []string{"&", "&AOQ", "&!-", "&AGE-", "&2D0-", "&AOQ-&AOQ-", "\xff", "&AOR-", "ä&AOQ-", "ä&"} {
		if got, err := DecodeMUTF7(wire); err == nil {
			t.Errorf("DecodeMUTF7(%q) = %q, want an error", wire, got)
		}
	}
}

func FuzzMUTF7(f *testing.F) {
	f.Add("~peter/mail/&U,BTFw-/&ZeVnLIqe-")
	f.Add("a&-b")
	f.Fuzz(func(t *testing.T, wire string) {
		if name, err := DecodeMUTF7(wire); err == nil && !eightBit(wire) && EncodeMUTF7(name) != wire {
			t.Fatalf("%q is read as %q, which is written %q", wire, name, EncodeMUTF7(name))
		}
	})
}

func TestPageOf(t *testing.T) {
	for _, c := range []struct {
		page     Page
		n        int
		from, to int // from 1, both included; 0, 0: none
	}{
		{Page{1, 3, false}, 5, 1, 3},
		{Page{3, 1, false}, 5, 1, 3},
		{Page{4, 9, false}, 5, 4, 5},
		{Page{6, 9, false}, 5, 0, 0},
		{Page{1, 1, false}, 0, 0, 0},
		{Page{1, 2, true}, 5, 4, 5},
		{Page{3, 2, true}, 5, 3, 4},
		{Page{4, 9, true}, 5, 1, 2},
		{Page{6, 9, true}, 5, 0, 0},
		{Page{1, 4294967295, true}, 5, 1, 5},
		{Page{1, 4294967295, false}, 5, 1, 5},
	} {
		first, end := c.page.Of(c.n)
		if c.to == 0 && first == end || first == c.from-1 && end == c.to {
			continue
		}
		t.Errorf("%s of %d: got %d to %d", c.page.Append(nil), c.n, first+1, end)
	}
}
