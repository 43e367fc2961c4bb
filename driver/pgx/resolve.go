package pgx

import (
	"context"
	"errors"
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

	// Between two questions. Most transactions are over at once; a server that
	// is down is not to be flooded with connections.
	minResolvePause = 5 * time.Millisecond
	maxResolvePause = 160 * time.Millisecond
)

// What became of a transaction.
const (
	xactCommitted  = "committed"
	xactAborted    = "aborted"
	xactInProgress = "in progress"
)

var errAborted = errors.New("the server says that the transaction was rolled back")

// xidFunctions are the names of a server's functions that tell the id of the
// transaction, and what became of one. They are empty if it has none.
type xidFunctions struct{ current, status string }

// xidVersion finds the version of a server that is a PostgreSQL.
var xidVersion = regexp.MustCompile(`^(\d+)(?:\.\d+)*(?: \(.*\))?$`)

// newXIDFunctions goes by the version that a server tells. Calling what one
// does not have would abort the transaction.
func newXIDFunctions(version string) xidFunctions {
	m := xidVersion.FindStringSubmatch(version)
	if m == nil {
		return xidFunctions{}
	}
	major, err := strconv.Atoi(m[1])
	switch {
	case err != nil || major < 10:
		return xidFunctions{}
	case major < 13:
		return xidFunctions{current: "txid_current_if_assigned", status: "txid_status"}
	}
	return xidFunctions{current: "pg_current_xact_id_if_assigned", status: "pg_xact_status"}
}

// xids returns the functions of the connection's server.
func (c *conn) xids() xidFunctions {
	if c.pgc.ParameterStatus("crdb_version") != "" {
		return xidFunctions{}
	}
	return newXIDFunctions(c.pgc.ParameterStatus("server_version"))
}

// A mark is what a transaction is found by once its connection is lost. Xid is
// empty if it cannot be.
type mark struct {
	xid     string
	started string // When the server was: see startedSQL.
}

// startedSQL tells servers apart. Behind the same address there may be another
// one now, after a failover for instance, which has given the same id to
// another transaction. A standby that took over differs in nothing else that
// is as cheap to ask for.
//
// A server that starts anew because it has lost a backend keeps its start time,
// and may give an id again that had not reached its disk. It has lost its
// statistics then, and tells since when it has them.
const startedSQL = "extract(epoch from pg_postmaster_start_time())::text || ' ' || " +
	"extract(epoch from pg_stat_get_bgwriter_stat_reset_time())::text"

// mark asks for the transaction's. One without an id has written nothing, but
// its COMMIT may still have effects: a notification, or a COMMIT elsewhere by
// a foreign data wrapper. So nobody can tell what became of it.
func (t *tx) mark(ctx context.Context) (mark, error) {
	if t.readOnly || t.conn.pgc.TxStatus() != statusInTx || t.conn.functions.current == "" {
		return mark{}, nil
	}
	row, err := single(ctx, t.conn, "select "+t.conn.functions.current+"(), "+startedSQL, 2)
	if err != nil {
		return mark{}, err
	}
	return newMark(string(row[0]), string(row[1])), nil
}

// markForm is what ids and times are made of.
var markForm = regexp.MustCompile(`^[0-9. ]*$`)

// newMark returns nothing to find a transaction by if a server, or a function
// of the user's in front of the server's own, has answered something else.
func newMark(xid, started string) mark {
	if !markForm.MatchString(xid) || !markForm.MatchString(started) {
		return mark{}
	}
	return mark{xid: xid, started: started}
}

// single returns the only row of a query's result. Null is empty there.
func single(ctx context.Context, c *conn, query string, columns int) ([][]byte, error) {
	results, err := c.pgc.Exec(ctx, query).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != columns {
		return nil, errors.New("pgx: unexpected answer to " + query)
	}
	return results[0].Rows[0], nil
}

// resolve turns the unknown outcome of a COMMIT into what the server says
// that it was, or leaves it as it is if the server cannot be asked in time.
func (t *tx) resolve(start time.Time, lost error) error {
	if t.marked.xid == "" {
		return lost
	}
	inside := time.Until(start.Add(t.limit))
	// A COMMIT that hung gets a little more, but all in all no more than that.
	left := min(max(inside, resolveLimit), inside+resolveLimit)
	ctx, cancel := context.WithTimeout(context.Background(), left)
	defer cancel()
	switch t.conn.outcome(ctx, t.marked) {
	case xactCommitted:
		return nil
	case xactAborted:
		return &lostError{cause: errAborted}
	}
	return lost
}

// outcome asks until it is known or ctx ends. It is empty then, and if the
// server that answers cannot tell: a failover or a restart made it another one.
func (c *conn) outcome(ctx context.Context, m mark) string {
	pause := minResolvePause
	for ctx.Err() == nil {
		status, err := c.ask(ctx, m)
		if err == nil && status != xactInProgress {
			return status // If it is empty, no other answer will come.
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, maxResolvePause)
	}
	return ""
}

// ask asks on a connection of its own, so that it need not wait for one of the
// pool. The answer of another server than the transaction's is null.
func (c *conn) ask(ctx context.Context, m mark) (string, error) {
	dc, err := c.connector.dial(ctx)
	if err != nil {
		return "", err
	}
	defer dc.kill(ctx)
	// The end of a context would be answered with a request to cancel the
	// question, and there is no time to wait for that.
	deadline, _ := ctx.Deadline()
	_ = dc.pgc.Conn().SetDeadline(deadline)
	// What one connection has read goes into a question on another as arguments.
	r := dc.pgc.ExecParams(context.WithoutCancel(ctx), "select case when "+startedSQL+" = $1 then "+c.functions.status+"($2) end",
		[][]byte{[]byte(m.started), []byte(m.xid)}, nil, nil, nil).Read()
	if r.Err != nil {
		return "", r.Err
	}
	if len(r.Rows) != 1 || len(r.Rows[0]) != 1 {
		return "", errors.New("pgx: unexpected answer about a transaction")
	}
	return string(r.Rows[0][0]), nil
}
