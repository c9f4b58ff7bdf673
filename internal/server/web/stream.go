package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// event is a line of the answer to an operation that takes long: one of its fields.
type event struct {
	Finding  *kv.Finding  `json:"finding,omitempty"`
	Progress *progress    `json:"progress,omitempty"`
	Verified *kv.Verified `json:"verified,omitempty"`
	Problem  *problem     `json:"problem,omitempty"`
}

type progress struct {
	Phase kv.Phase `json:"phase"`
	Done  int64    `json:"done"`
	Total int64    `json:"total"`
}

type verifyRequest struct {
	Quick bool `json:"quick"`
}

const (
	// eventTime is how long a client may take to read an event.
	eventTime = time.Minute
	// progressInterval is how often a client hears of progress.
	progressInterval = 200 * time.Millisecond
)

// stream writes events.
type stream struct {
	w    http.ResponseWriter
	end  context.CancelCauseFunc // when the client does not read
	last time.Time               // of the progress
}

func (s *stream) send(e event) {
	control := http.NewResponseController(s.w)
	err := control.SetWriteDeadline(time.Now().Add(eventTime))
	if err == nil {
		err = json.NewEncoder(s.w).Encode(e)
	}
	if err == nil {
		err = control.Flush()
	}
	if err != nil {
		s.end(fmt.Errorf("answering the operator: %w", err))
	}
}

// report is a kv.VerifyOptions.Report.
func (s *stream) report(f kv.Finding) { s.send(event{Finding: &f}) }

// progress is a kv.VerifyOptions.Progress.
func (s *stream) progress(p kv.Phase, done, total int64) {
	if time.Since(s.last) >= progressInterval {
		s.last = time.Now()
		s.send(event{Progress: &progress{p, done, total}})
	}
}

// serveVerify answers a request to verify.
func (o *Operations) serveVerify(log *slog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, end := context.WithCancelCause(r.Context())
		defer end(nil)
		s := &stream{w: w, end: end}
		var q verifyRequest
		body, err := readBody(w, r)
		if err == nil {
			err = json.Unmarshal(body, &q)
		}
		if err == nil { // the time to read a request would end the answer
			err = http.NewResponseController(w).SetReadDeadline(time.Time{})
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		var sum kv.Verified
		if err == nil {
			sum, err = o.Verify(ctx, kv.VerifyOptions{Quick: q.Quick, Report: s.report, Progress: s.progress})
		}
		if err != nil {
			e := mail.AsError(err)
			log.Warn("operator request failed", "operation", "verify", "err", err)
			s.send(event{Problem: &problem{e.Kind, e.Status, err.Error()}})
			return
		}
		log.Info("operator request", "operation", "verify")
		s.send(event{Verified: &sum})
	}
}

// Verify is Operations.Verify. Findings have no Mend.
func (c *Client) Verify(ctx context.Context, o kv.VerifyOptions) (kv.Verified, error) {
	body, err := json.Marshal(verifyRequest{o.Quick})
	if err != nil {
		return kv.Verified{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://candor/v1/verify", bytes.NewReader(body))
	if err != nil {
		return kv.Verified{}, err
	}
	patient := http.Client{Transport: c.http.Transport} // the server may take hours
	resp, err := patient.Do(r)
	if err != nil {
		return kv.Verified{}, fmt.Errorf("asking the server: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return kv.Verified{}, fmt.Errorf("the server answered %s", resp.Status)
	}
	return readEvents(resp.Body, o)
}

// readEvents hands on events until the last one.
func readEvents(r io.Reader, o kv.VerifyOptions) (kv.Verified, error) {
	for lines := json.NewDecoder(r); ; {
		var e event
		if err := lines.Decode(&e); errors.Is(err, io.EOF) {
			return kv.Verified{}, errors.New("the server ended before it was done")
		} else if err != nil {
			return kv.Verified{}, fmt.Errorf("reading the server's answer: %w", err)
		}
		switch {
		case e.Finding != nil && o.Report != nil:
			o.Report(*e.Finding)
		case e.Progress != nil && o.Progress != nil:
			o.Progress(e.Progress.Phase, e.Progress.Done, e.Progress.Total)
		case e.Problem != nil:
			return kv.Verified{}, &mail.Error{Kind: e.Problem.Kind, Status: e.Problem.Status, Text: e.Problem.Text}
		case e.Verified != nil:
			return *e.Verified, nil
		}
	}
}
