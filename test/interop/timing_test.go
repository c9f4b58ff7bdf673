package interop

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"
)

// cause is why a login is refused.
type cause string

// refusedNames are the causes with a name for each; a stranger must not tell one from another.
var refusedNames = map[cause]string{
	"wrong password":   "ann@example.org",
	"unknown":          "nobody@example.org",
	"disabled account": "off@example.org",
	"no verifier":      "postmaster@example.org",
	"app passwords":    "apps@example.org", // wrong beside many others
}

var causes = []cause{"wrong password", "unknown", "disabled account", "no verifier", "app passwords"}

// prober logs in wrongly, in one way. A step is measured from the last octet that was sent to the first line of the reply.
type prober struct {
	name string
	port func(*server) int
	try  func(p *probe, name string)
}

var probers = []prober{
	{"IMAP LOGIN", imapsPort, func(p *probe, name string) { p.measure("a LOGIN "+name+" wrong", "a NO [AUTHENTICATIONFAILED] ") }},
	{"IMAP PLAIN", imapsPort, func(p *probe, name string) {
		p.measure("a AUTHENTICATE PLAIN "+plainResponse(name), "a NO [AUTHENTICATIONFAILED] ")
	}},
	{"IMAP SCRAM", imapsPort, func(p *probe, name string) { p.scram("a AUTHENTICATE", name, "+ ", "a NO [AUTHENTICATIONFAILED] ") }},
	{"POP3 USER", pop3sPort, func(p *probe, name string) {
		p.say("USER "+name, "+OK")
		p.measure("PASS wrong", "-ERR [AUTH] ")
	}},
	{"POP3 PLAIN", pop3sPort, func(p *probe, name string) { p.measure("AUTH PLAIN "+plainResponse(name), "-ERR [AUTH] ") }},
	{"POP3 SCRAM", pop3sPort, func(p *probe, name string) { p.scram("AUTH", name, "+ ", "-ERR [AUTH] ") }},
	{"SMTP PLAIN", submissionsPort, func(p *probe, name string) {
		p.say("EHLO client.example", "250 ")
		p.measure("AUTH PLAIN "+plainResponse(name), "535 5.7.8 ")
	}},
	{"SMTP SCRAM", submissionsPort, func(p *probe, name string) {
		p.say("EHLO client.example", "250 ")
		p.scram("AUTH", name, "334 ", "535 5.7.8 ")
	}},
}

func imapsPort(s *server) int       { return s.imaps }
func pop3sPort(s *server) int       { return s.pop3s }
func submissionsPort(s *server) int { return s.submissions }

func plainResponse(name string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + name + "\x00wrong"))
}

// probe is a login on its way.
type probe struct {
	conn  net.Conn
	r     *bufio.Reader
	first time.Duration // SCRAM: until the salt
	took  time.Duration
	err   error
}

// say sends a line and reads up to the one that begins with want. It does nothing after a failure.
func (p *probe) say(line, want string) (got string) {
	if p.err != nil {
		return ""
	}
	if _, p.err = io.WriteString(p.conn, line+"\r\n"); p.err != nil {
		return ""
	}
	for got = ""; p.err == nil && !strings.HasPrefix(got, want); {
		if got, p.err = p.r.ReadString('\n'); strings.HasPrefix(got, "-") || strings.HasPrefix(got, "4") || strings.HasPrefix(got, "* BYE") {
			break
		}
	}
	if p.err == nil && !strings.HasPrefix(got, want) {
		p.err = fmt.Errorf("%q was answered %q, want %q", line, got, want)
	}
	return got
}

func (p *probe) measure(line, want string) {
	began := time.Now()
	p.say(line, want)
	p.took = time.Since(began)
}

// scram gives a proof that fits no password, after the salt has come behind the word goOn.
func (p *probe) scram(command, name, goOn, want string) {
	began := time.Now()
	challenge := p.say(command+" SCRAM-SHA-256 "+base64.StdEncoding.EncodeToString([]byte("n,,n="+name+",r=rOprNGfwEbeRWgbNEkqO")), goOn)
	p.first = time.Since(began)
	text, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.TrimPrefix(challenge, goOn)))
	nonce, _, _ := strings.Cut(string(text), ",")
	proof := base64.StdEncoding.EncodeToString([]byte("c=biws," + nonce + ",p=" + base64.StdEncoding.EncodeToString(make([]byte, 32))))
	p.measure(proof, want)
}

// probe makes one login on a connection of its own.
func (s *server) probe(how prober, name string, t *tls.Config) *probe {
	p := &probe{}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", fmt.Sprintf("127.0.0.1:%d", how.port(s)), t)
	if err != nil {
		p.err = err
		return p
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	p.conn, p.r = conn, bufio.NewReader(conn)
	if _, p.err = p.r.ReadString('\n'); p.err == nil {
		how.try(p, name)
	}
	return p
}

// times are the measurements of each cause, in milliseconds.
type times map[cause][]float64

// worst is the greatest difference of f between two causes.
func (m times) worst(f func([]float64) float64) float64 {
	least, most := math.Inf(1), math.Inf(-1)
	for _, c := range causes {
		least, most = min(least, f(m[c])), max(most, f(m[c]))
	}
	return most - least
}

func quantile(q float64) func([]float64) float64 {
	return func(all []float64) float64 {
		sorted := slices.Sorted(slices.Values(all))
		return sorted[int(q*float64(len(sorted)-1))]
	}
}

// welchSamples are those of Welch's test (specification, section 3.7).
const welchSamples = 500

// welch is the greatest t of Welch's test between two causes, of so many samples each.
func (m times) welch(samples int) (greatest float64) {
	of := func(c cause) (mean, squared float64) {
		all := m[c][:samples]
		for _, v := range all {
			mean += v / float64(samples)
		}
		for _, v := range all {
			squared += (v - mean) * (v - mean) / float64(samples-1) / float64(samples)
		}
		return mean, squared
	}
	for i, a := range causes {
		for _, b := range causes[:i] {
			ma, va := of(a)
			mb, vb := of(b)
			greatest = max(greatest, math.Abs(ma-mb)/math.Sqrt(va+vb))
		}
	}
	return greatest
}

// refusals measures so many refusals for each cause, evenly by the ways given, some at a time and in random order. Of
// SCRAM it also measures the first step.
func (s *server) refusals(t *testing.T, ways []prober, each, atOnce int) (all, first times) {
	t.Helper()
	type job struct {
		how prober
		why cause
	}
	var jobs []job
	for i := range each {
		for _, why := range causes {
			jobs = append(jobs, job{ways[i%len(ways)], why})
		}
	}
	rand.Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
	done := make([]*probe, len(jobs))
	queue := make(chan int, len(jobs))
	for i := range jobs {
		queue <- i
	}
	close(queue)
	config := s.clientTLS()
	crowd(atOnce, func(int) {
		for i := range queue {
			done[i] = s.probe(jobs[i].how, refusedNames[jobs[i].why], config)
		}
	})
	all, first = times{}, times{}
	for i, p := range done {
		if p.err != nil {
			t.Fatalf("%s, %s: %v\n%s", jobs[i].how.name, jobs[i].why, p.err, tail(s.log.String()))
		}
		all[jobs[i].why] = append(all[jobs[i].why], p.took.Seconds()*1000)
		if p.first > 0 {
			first[jobs[i].why] = append(first[jobs[i].why], p.first.Seconds()*1000)
		}
	}
	return all, first
}

// TestEqualTiming: a stranger cannot tell by the clock why a login was refused, nor whether an account has app passwords
// (specification, section 3.7 and X-45).
func TestEqualTiming(t *testing.T) {
	s := start(t)
	s.account("off@example.org", "secret")
	s.candor("", "account", "disable", "off@example.org", "--config", s.config)
	s.account("apps@example.org", "secret")
	for i := range 10 {
		s.candor("", "account", "app-password", "add", "apps@example.org", fmt.Sprintf("--name=program %d", i), "--config", s.config)
	}
	if !soak() {
		s.equalTiming(t, probers, 100, 12, 20, math.Inf(1))
		return
	}
	for _, how := range probers {
		t.Run(how.name, func(t *testing.T) {
			atOnce := 3 // no hash waits so long for a worker that it shows
			if strings.HasSuffix(how.name, "SCRAM") {
				atOnce = 48 // it hashes nothing
			}
			s.equalTiming(t, []prober{how}, 2000, atOnce, 5, 20)
		})
	}
}

// equalTiming judges the greatest differences between causes in ms, at the median and at the 99th percentile. What else the
// machine does shows in the times, too, in one run on one cause and in the next on another; what we owe shows in every run.
func (s *server) equalTiming(t *testing.T, ways []prober, each, atOnce int, medians, tails float64) {
	const runs = 3
	for run := range runs {
		all, first := s.refusals(t, ways, each, atOnce)
		median, tail, welch, start := all.worst(quantile(0.5)), all.worst(quantile(0.99)), 0.0, 0.0
		if each >= welchSamples {
			welch = all.welch(welchSamples)
		}
		for _, c := range causes {
			t.Logf("%-16s %4d tries: median %.1f ms, 99th percentile %.1f ms", c, len(all[c]), quantile(0.5)(all[c]), quantile(0.99)(all[c]))
			if least := slices.Min(all[c]); least < 300 {
				t.Errorf("%s was told after %.1f ms", c, least)
			}
		}
		if len(first) > 0 {
			start = first.worst(quantile(0.5))
		}
		t.Logf("differences: median %.2f ms, 99th percentile %.1f ms, SCRAM's first step %.3f ms, Welch's t %.2f", median, tail, start, welch)
		if median < medians && tail < tails && start < medians && welch < 3 {
			return
		}
		if run == runs-1 {
			t.Errorf("want less than %g ms at the median, %g ms at the 99th percentile and 3 of Welch's t", medians, tails)
		}
	}
}

// TestNoEnumeration: without a login, submission says of every recipient and every name the same.
func TestNoEnumeration(t *testing.T) {
	s := start(t)
	var heard [2]string
	for i, name := range []string{"ann@example.org", "nobody@example.org"} {
		conn, err := dialTLS(s, s.submissions)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c := textproto.NewConn(conn)
		for _, command := range []string{"", "EHLO client.example", "MAIL FROM:<" + name + ">", "RCPT TO:<" + name + ">", "VRFY " + name, "EXPN " + name} {
			if command != "" {
				c.PrintfLine("%s", command)
			}
			code, text, _ := c.ReadResponse(0) // a code of refusal comes with an error that says the same
			heard[i] += fmt.Sprintln(code, text)
		}
	}
	if heard[0] != heard[1] || !strings.Contains(heard[0], "252 2.5.0 ") {
		t.Errorf("of one who exists:\n%s\nof one who does not:\n%s", heard[0], heard[1])
	}
}
