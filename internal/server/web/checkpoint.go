package web

import (
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

const (
	checkpointPath = "checkpoint"
	// maxCheckpoint bounds how long a backup can keep the collector from removing segments.
	maxCheckpoint = 24 * time.Hour
)

// checkpoints serves checkpoints of the store, one at a time. The answer is a line of JSON; the checkpoint lasts
// until the client closes the connection, so that a backup that is killed keeps nothing.
func checkpoints(o *Operations, log *slog.Logger) http.HandlerFunc {
	taken := make(chan struct{}, 1)
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case taken <- struct{}{}:
			defer func() { <-taken }()
		default:
			answer(w, log, checkpointPath, nil, mail.Errorf(mail.InUse, "another backup is being made: wait until it has ended"))
			return
		}
		c, err := o.Store.Checkpoint(r.Context())
		if err != nil {
			answer(w, log, checkpointPath, nil, err)
			return
		}
		// The server's own deadlines are for answers that are given at once.
		control := http.NewResponseController(w)
		err = errors.Join(control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Now().Add(time.Minute)))
		if err == nil {
			answer(w, log, checkpointPath, c, nil)
			err = control.Flush()
		}
		if err == nil {
			until, cancel := context.WithTimeout(r.Context(), maxCheckpoint)
			<-until.Done()
			cancel()
		}
		if err := errors.Join(err, c.Release()); err != nil {
			log.Warn("releasing a checkpoint failed", "err", err)
		}
		log.Info("checkpoint released")
	}
}

// Checkpoint asks the server for a checkpoint of its store. Held returns an error once the server no longer keeps
// its files, because it has ended, say. Errors: InUse.
func (c *Client) Checkpoint(ctx context.Context) (checkpoint *kv.Checkpoint, held func() error, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://candor/v1/"+checkpointPath, http.NoBody)
	if err != nil {
		return nil, nil, err
	}
	patient := http.Client{Transport: c.http.Transport}
	resp, err := patient.Do(r)
	if err != nil {
		return nil, nil, fmt.Errorf("asking the server: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, nil, failure(resp)
	}
	lines := json.NewDecoder(resp.Body)
	checkpoint = &kv.Checkpoint{}
	if err := lines.Decode(checkpoint); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("reading the server's answer: %w", err), resp.Body.Close())
	}
	lost := make(chan struct{})
	go func() { // ends when either side closes the connection
		defer close(lost)
		_, _ = io.Copy(io.Discard, resp.Body)
	}()
	checkpoint.Release = func() error {
		err := resp.Body.Close()
		<-lost
		return err
	}
	return checkpoint, func() error {
		select {
		case <-lost:
			return mail.Errorf(mail.Unavailable, "the server has let go of the checkpoint, since it ended, or after %s", maxCheckpoint)
		default:
			return nil
		}
	}, nil
}
