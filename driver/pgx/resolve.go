package pgx

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// This file settles a COMMIT whose answer was lost: PostgreSQL keeps what
// became of each transaction, and tells it to whoever knows the transaction's id.

const (
	// resolveLimit is how long the server may take to tell, if the COMMIT
	// itself has used up its time.
	resolveLimit = 150 * time.Millisecond
	resolvePause = 5 * time.Millisecond
)

// xidVersion finds the version of a server that has the functions for it.
var xidVersion = regexp.MustCompile(`^(\d+)(?:\.\d+)*(?: \(.*\))?$`)

// canTell reports whether the server is a PostgreSQL that can be asked. On
// one that is not, the question would abort the transaction.
func (c *conn) canTell() bool {
	m := xidVersion.FindStringSubmatch(c.pgc.ParameterStatus("server_version"))
	if m == nil || c.pgc.ParameterStatus("crdb_version") != "" {
		return false
	}
	major, err := strconv.Atoi(m[1])
	return err == nil && major >= 13
}

// learnXID asks for the id of the transaction, which is empty if it has
// written nothing.
func (t *tx) learnXID(ctx context.Context) (string, error) {
	if t.readOnly || t.conn.pgc.TxStatus() != statusInTx || !t.conn.canTell() {
		return "", nil
	}
	return single(ctx, t.conn, "select pg_current_xact_id_if_assigned()")
}

// single returns the only value of a query's result; null is empty.
func single(ctx context.Context, c *conn, query string) (string, error) {
	results, err := c.pgc.Exec(ctx, query).ReadAll()
	if err != nil {
		return "", err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != 1 {
		return "", errors.New("pgx: unexpected answer to " + query)
	}
	return string(results[0].Rows[0][0]), nil
}

// What became of a transaction.
const (
	xactCommitted = "committed"
	xactAborted   = "aborted"
)

var errAborted = errors.New("the server says that the transaction was rolled back")

// resolve turns the unknown outcome of a COMMIT into what the server says
// that it was, or leaves it as it is if the server cannot be asked in time.
func (t *tx) resolve(start time.Time, lost error) error {
	if t.xid == "" {
		return lost
	}
	left := max(time.Until(start.Add(t.limit)), resolveLimit)
	ctx, cancel := context.WithTimeout(context.Background(), left)
	defer cancel()
	switch t.conn.outcome(ctx, t.xid) {
	case xactCommitted:
		return nil
	case xactAborted:
		return &lostError{cause: errAborted}
	}
	return lost
}

// outcome asks on a connection of its own, until it is known or ctx ends.
func (c *conn) outcome(ctx context.Context, xid string) string {
	for ctx.Err() == nil {
		status, err := c.ask(ctx, xid)
		if err == nil && (status == xactCommitted || status == xactAborted) {
			return status
		}
		pause := time.NewTimer(resolvePause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
	return ""
}

// ask asks the server that the lost connection was to. Another one, behind the
// same URL, would know of other transactions with the same ids.
func (c *conn) ask(ctx context.Context, xid string) (string, error) {
	dc, err := c.connector.dial(ctx)
	if err != nil {
		return "", err
	}
	defer dc.kill(ctx)
	if here, there := dc.pgc.Conn().RemoteAddr().String(), c.server; here != there {
		return "", fmt.Errorf("pgx: %s is another server than %s", here, there)
	}
	return single(ctx, dc, "select case when pg_is_in_recovery() then '' else pg_xact_status('"+xid+"') end")
}
