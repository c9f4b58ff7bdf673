package directory

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// CensusRow is what is known of equal attempts to log in on one day (UTC): those that differ in nothing but their
// time share a row (specification, section 3.6).
type CensusRow struct {
	First      time.Time           `json:"first"`
	Last       time.Time           `json:"last"`
	Times      int64               `json:"times"`
	Account    mail.Address        `json:"account,omitzero"`
	Name       string              `json:"name_hash,omitempty"` // keyed hash of the only name that strangers gave, if all gave the same
	Credential uint64              `json:"credential,omitempty"`
	Service    Service             `json:"svc"`
	Port       uint16              `json:"lport"`
	Mechanism  string              `json:"method"`
	Offered    []string            `json:"offered"`
	Initial    bool                `json:"ir"`
	Binding    string              `json:"cb"` // "none", "exporter", "endpoint", or the flag of a client that did not bind: "n", "y"
	State      mail.TransportState `json:"tls.state"`
	Version    string              `json:"tls.ver,omitempty"`
	Group      string              `json:"tls.group,omitempty"`
	SNI        string              `json:"tls.sni,omitempty"`
	ALPN       string              `json:"tls.alpn,omitempty"`
	Client     string              `json:"client,omitempty"` // name and version of IMAP's ID; what kind of name EHLO gave
	Network    netip.Prefix        `json:"rip"`              // /24 or /48; "" in a row that stands for too many
	Result     string              `json:"result"`           // "ok" or "refused"
	Reason     string              `json:"reason,omitempty"` // of a refusal
}

// OK reports whether the row is of logins.
func (r *CensusRow) OK() bool { return r.Reason == "" }

// censusDay counts the days since 1970 (UTC).
type censusDay uint32

func dayOf(t time.Time) censusDay {
	return censusDay(max(0, t.Unix()) / int64(24*time.Hour/time.Second))
}

func (d censusDay) start() time.Time {
	return time.Unix(int64(d)*int64(24*time.Hour/time.Second), 0).UTC()
}

// censusOwner is whose row it is, on which day. Account 0 stands for names that are nobody's, and for none.
type censusOwner struct {
	account mail.AccountID
	day     censusDay
}

// censusFields are what the attempts of a row have in common. In the store they have short names.
type censusFields struct {
	Credential credentialID        `json:"c,omitempty"`
	Service    Service             `json:"s"`
	Port       uint16              `json:"p,omitempty"`
	Mechanism  string              `json:"m"`
	Offered    string              `json:"o,omitempty"` // with spaces between
	Initial    bool                `json:"i,omitempty"`
	Binding    string              `json:"b,omitempty"`
	State      mail.TransportState `json:"t"`
	Version    string              `json:"v,omitempty"`
	Group      string              `json:"g,omitempty"`
	SNI        string              `json:"n,omitempty"`
	ALPN       string              `json:"l,omitempty"`
	Client     string              `json:"u,omitempty"`
	Network    netip.Prefix        `json:"w,omitzero"`
	Reason     string              `json:"r,omitempty"`
}

// censusTally is how often and when.
type censusTally struct {
	Times int64  `json:"x"`
	First int64  `json:"f"` // seconds since 1970
	Last  int64  `json:"z"`
	Name  string `json:"h,omitempty"`
}

// add takes later attempts, or earlier ones.
func (t *censusTally) add(more censusTally) {
	if t.Name != more.Name {
		t.Name = ""
	}
	t.Times += more.Times
	t.First, t.Last = min(t.First, more.First), max(t.Last, more.Last)
}

// collapsed are the fields of the row that stands for those for which there is no room.
func (f censusFields) collapsed() censusFields {
	return censusFields{Service: f.Service, Port: f.Port, Mechanism: f.Mechanism, State: f.State, Reason: f.Reason}
}

// censusRecord is a row in the store.
type censusRecord struct {
	censusFields
	censusTally
}

// The keys of the census, which is not read with the rest of the directory:
//
//	d x <mechanism>               mechanismRecord
//	d y <month><sum>              monthRecord; the month is year*12+month-1 in 4 octets
//	d z <account><day><sum>       censusRecord; the day is in 4 octets
//
// A sum is the first 8 octets of the SHA-256 of what the attempts of a row have in common.
var (
	keyCensus     = []byte("dx") // and all after it
	keyMechanisms = []byte("dx")
	keyMonths     = []byte("dy")
	keyDays       = []byte("dz")
)

// censusSum names fields within their day or month.
func censusSum(fields any) []byte {
	text, err := json.Marshal(fields)
	if err != nil {
		panic(err) // plain structs
	}
	sum := sha256.Sum256(text)
	return sum[:8]
}

func censusPrefix(id mail.AccountID) []byte { return append([]byte("dz"), number(id)...) }

func (o censusOwner) prefix() []byte {
	return binary.BigEndian.AppendUint32(censusPrefix(o.account), uint32(o.day))
}

func (o censusOwner) key(f censusFields) []byte { return append(o.prefix(), censusSum(f)...) }

// parseCensus reads a row.
func parseCensus(p kv.Pair) (o censusOwner, r censusRecord, err error) {
	if len(p.Key) != len(keyDays)+8+4+8 {
		return o, r, errDamaged
	}
	name := p.Key[len(keyDays):]
	o = censusOwner{mail.AccountID(binary.BigEndian.Uint64(name)), censusDay(binary.BigEndian.Uint32(name[8:]))}
	if err := json.Unmarshal(p.Value, &r); err != nil {
		return o, r, fmt.Errorf("census row of account %d: %w", o.account, err)
	}
	return o, r, nil
}

// row makes a record readable for others.
func (r *censusRecord) row(account mail.Address) CensusRow {
	row := CensusRow{
		First: time.Unix(r.First, 0).UTC(), Last: time.Unix(r.Last, 0).UTC(), Times: r.Times, Account: account, Name: r.Name,
		Credential: uint64(r.Credential), Service: r.Service, Port: r.Port, Mechanism: r.Mechanism, Offered: strings.Fields(r.Offered),
		Initial: r.Initial, Binding: r.Binding, State: r.State, Version: r.Version, Group: r.Group, SNI: r.SNI, ALPN: r.ALPN,
		Client: r.Client, Network: r.Network, Result: "ok", Reason: r.Reason,
	}
	if r.Reason != "" {
		row.Result = "refused"
	}
	return row
}

// nameHash stands for a login name that is nobody's.
func (s *state) nameHash(login string) string {
	sum := s.derive("census name", login)
	return hex.EncodeToString(sum[:8])
}
