package echobun

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/failpoint"
)

// Limits of a recovery.
const (
	recoverLimit = 30 * time.Second       // Of all of it, if its context has no deadline.
	recoverGrace = 500 * time.Millisecond // For transactions that are being committed meanwhile.
	recoverHeld  = 500 * time.Millisecond // For a transaction whose connection is about to end.
	recoverPause = 25 * time.Millisecond
	recoverBatch = 100 // Decisions that one statement removes.
)

// A RecoverReport says what [Extension.RecoverPrepared] has done, as a number
// of transactions by bind key.
type RecoverReport struct {
	Committed  map[string]int
	RolledBack map[string]int
	InDoubt    map[string]int // Left prepared: see the log for why.
}

// String is one line, "recovered: nothing" if there was nothing to do.
func (r RecoverReport) String() string {
	keys := map[string]bool{}
	for _, counts := range []map[string]int{r.Committed, r.RolledBack, r.InDoubt} {
		for key := range counts {
			keys[key] = true
		}
	}
	if len(keys) == 0 {
		return "recovered: nothing"
	}
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		parts = append(parts, fmt.Sprintf("%s: %d committed, %d rolled back, %d in doubt",
			bindName(key), r.Committed[key], r.RolledBack[key], r.InDoubt[key]))
	}
	return "recovered: " + strings.Join(parts, "; ")
}

// RecoverPrepared finishes the prepared transactions of this application that
// a crash, or a server that was away, has left behind. Until then they hold
// their locks. Call it at start and every minute: it looks at every bind,
// asks the coordinator of each transaction what was decided, and commits or
// rolls back. What was not decided is rolled back.
//
// It is safe beside transactions that are being committed, which are left alone
// as long as they take no longer than half a second, and from several processes
// at once. What cannot be decided now, because the coordinator is
// not configured here or cannot be reached, is left alone, counted as in doubt
// and logged. Transactions of other applications, by [Config.AppName], are not
// touched. What is prepared cannot be seen on a standby and on an engine of the
// user's own: decisions that concern such a bind are kept.
//
// It takes the time that ctx has, or 30 s if ctx has no deadline. A server that
// does not answer gets no more than a quarter of what is left of that.
//
// The error joins a [*BindError] for each bind that could not be asked; the
// report covers the others. After Close it is [ErrClosed]. It needs no app
// context.
func (x *Extension) RecoverPrepared(ctx context.Context) (RecoverReport, error) {
	report := RecoverReport{Committed: map[string]int{}, RolledBack: map[string]int{}, InDoubt: map[string]int{}}
	if x.closed.Load() {
		return report, ErrClosed
	}
	if x.isolated() {
		return report, nil
	}
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, recoverLimit)
		defer cancel()
	}
	r := &recovery{x: x, report: report, binds: map[string]*recovered{}}
	r.look(ctx)
	r.onAll(func(b *recovered) { b.leaveRunning(ctx) })
	for _, key := range x.keys() {
		for _, id := range r.binds[key].prepared {
			r.settle(ctx, r.binds[key], id)
		}
	}
	r.forget(ctx)
	return report, errors.Join(r.errs...)
}

// A recovery is one call of RecoverPrepared.
type recovery struct {
	x      *Extension
	report RecoverReport
	binds  map[string]*recovered // By bind key.
	errs   []error
}

// recovered is what a recovery knows of one bind.
type recovered struct {
	e        *engine
	rows     map[string]decision // Of its log, read before any bind was asked for what is prepared.
	logged   bool                // There is a log, and rows has what is in it.
	prepared []xid               // Of this application and this bind.
	listed   bool                // Prepared has all.
	open     map[string]bool     // Transactions that the next recovery has to look at again.
	lost     error               // Why its server is not asked any more.
	errs     []error
}

// look reads the logs of all binds and then lists what is prepared on them. A
// decision that is read, and nothing prepared under it afterwards, is one that
// nobody needs any more.
func (r *recovery) look(ctx context.Context) {
	for _, key := range r.x.keys() {
		r.binds[key] = &recovered{e: r.x.engines[key], open: map[string]bool{}}
	}
	r.onAll(func(b *recovered) { b.readLog(ctx, r.x.app) })
	r.onAll(func(b *recovered) { b.list(ctx) })
	for _, key := range r.x.keys() {
		r.errs = append(r.errs, r.binds[key].errs...)
	}
}

// onAll calls do for all binds at once.
func (r *recovery) onAll(do func(*recovered)) {
	var all sync.WaitGroup
	for _, b := range r.binds {
		all.Go(func() { do(b) })
	}
	all.Wait()
}

// readLog reads the bind's log. That there is none is no error: the bind has
// never taken part.
func (b *recovered) readLog(ctx context.Context, app string) {
	ctx, cancel := recoverStep(ctx)
	defer cancel()
	c := &b.e.commits
	installation, err := c.load(ctx)
	if err != nil || installation == "" {
		b.fault(ctx, err)
		return
	}
	c.seen(installation)
	rows, foreign, err := c.all(ctx, app)
	if err != nil {
		b.errs = append(b.errs, err)
		return
	}
	if foreign > 0 {
		b.e.metadata.x.logger.WarnContext(ctx, "echobun: the table of decisions has rows that this library has not written",
			"bind", b.e.key, "rows", foreign)
	}
	b.rows, b.logged = rows, true
}

// fault keeps the error of a bind that cannot be reached, or whose log is not
// to be trusted. Any other may mean that it has none.
func (b *recovered) fault(ctx context.Context, err error) {
	if err != nil && (errors.Is(err, ErrUnavailable) || errors.Is(err, errForeignRow) || ctx.Err() != nil) {
		b.errs = append(b.errs, err)
	}
}

// recoverStep returns the context of one step: a server that hangs leaves some
// time for the others.
func recoverStep(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, timeLeft(ctx)/4)
}

// list lists what this application has prepared on the bind.
func (b *recovered) list(ctx context.Context) {
	tp := b.e.twoPhase()
	if tp == nil {
		return // What another configuration has prepared there would not be seen.
	}
	ctx, cancel := recoverStep(ctx)
	defer cancel()
	ids, err := b.e.listPrepared(ctx, tp, b.e.commits.conn)
	if errors.Is(err, driver.ErrStandby) {
		return
	}
	if err != nil {
		if len(b.errs) == 0 {
			b.errs = append(b.errs, err)
		}
		return
	}
	b.listed, b.prepared = true, b.e.ours(ids)
}

// leaveRunning has transactions that are being committed finish by themselves:
// what is no longer prepared a moment later was no leftover.
func (b *recovered) leaveRunning(ctx context.Context) {
	for start := time.Now(); len(b.prepared) > 0 && time.Since(start) < recoverGrace; {
		select {
		case <-time.After(recoverPause):
		case <-ctx.Done():
			return
		}
		ids, err := b.ids(ctx)
		if err != nil {
			return // Whoever settles them will see.
		}
		b.prepared = slices.DeleteFunc(b.prepared, func(id xid) bool { return !slices.Contains(ids, id.String()) })
	}
}

// ours are those of ids that this application has prepared on the engine.
func (e *engine) ours(ids []string) (ours []xid) {
	for _, s := range ids {
		if id, ok := parseXID(s); ok && id.app == e.metadata.x.app && id.bind == shortName(e.key) {
			ours = append(ours, id)
		}
	}
	return ours
}

// listPrepared lists all transactions that are prepared on the engine.
func (e *engine) listPrepared(ctx context.Context, tp driver.TwoPhase, connect func(context.Context) (bun.Conn, error)) ([]string, error) {
	conn, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	ids, err := tp.Prepared(ctx, conn)
	giveBack(&conn, err)
	return ids, e.wrap("list prepared transactions", err)
}

// settle finishes one prepared transaction, or counts it as in doubt.
func (r *recovery) settle(ctx context.Context, b *recovered, id xid) {
	d, err := r.decision(ctx, id.home, r.x.logID(id.tx))
	count := r.report.Committed
	if err == nil {
		if d.Decision != decidedCommit {
			count = r.report.RolledBack
		}
		var done bool
		failpoint.Hit("settle")
		done, err = b.finish(ctx, id, d.Decision == decidedCommit)
		failpoint.Hit("settled")
		if err == nil && done {
			count[b.e.key]++
		}
	}
	if err != nil {
		r.report.InDoubt[b.e.key]++
		b.open[r.x.logID(id.tx)] = true
		r.x.logger.WarnContext(ctx, "echobun: prepared transaction stays in doubt", "bind", b.e.key, "id", id.String(), "error", r.x.reason(err))
	}
}

var errUnknownCoordinator = errors.New("its coordinator is not a bind that is configured and can be reached here, with the table of decisions that it had")

// decision returns what was decided about a transaction, or decides.
func (r *recovery) decision(ctx context.Context, home, id string) (decision, error) {
	for range 2 { // A log may send to another one.
		b := r.at(home)
		if b == nil {
			return decision{}, fmt.Errorf("%w: %s", errUnknownCoordinator, home)
		}
		d, ok := b.rows[id]
		if !ok {
			err := b.once(ctx, func(ctx context.Context) (err error) {
				d, err = b.e.commits.claim(ctx, id)
				return err
			})
			if err != nil {
				return decision{}, err
			}
			failpoint.Hit("claimed")
			// It may have come after the binds were listed, and have branches
			// that were not there yet: the next recovery forgets it.
			if d.Decision == decidedCommit {
				b.open[id] = true
			}
			b.rows[id] = d
		}
		next, sees := d.sees()
		if !sees {
			return d, nil
		}
		home = next
	}
	return decision{}, fmt.Errorf("%w: its logs name each other", errUnknownCoordinator)
}

// at returns the bind whose log has that name in IDs, or nil.
func (r *recovery) at(home string) *recovered {
	for _, key := range r.x.keys() {
		if b := r.binds[key]; b.logged && b.e.commits.home() == home {
			return b
		}
	}
	return nil
}

// finish commits or rolls back. It reports false if somebody else did so.
func (b *recovered) finish(ctx context.Context, id xid, commit bool) (bool, error) {
	tp := b.e.twoPhase()
	how := tp.RollbackPrepared
	if commit {
		how = tp.CommitPrepared
	}
	for start := time.Now(); ; {
		err := b.once(ctx, func(ctx context.Context) error {
			conn, err := b.e.commits.conn(ctx)
			if err != nil {
				return err
			}
			err = how(ctx, conn, id.String())
			giveBack(&conn, err)
			return err
		})
		if !errors.Is(err, driver.ErrNotPrepared) {
			return err == nil, err
		}
		// MySQL says the same as long as the connection that prepared lives.
		held, listErr := b.held(ctx, id)
		if listErr != nil || !held {
			return false, listErr
		}
		if time.Since(start) > recoverHeld {
			return false, errHeld
		}
		time.Sleep(recoverPause)
	}
}

// once does one step with the bind's server, unless that was lost before.
func (b *recovered) once(ctx context.Context, do func(context.Context) error) error {
	if b.lost != nil {
		return b.lost
	}
	ctx, cancel := recoverStep(ctx)
	defer cancel()
	err := do(ctx)
	if errors.Is(err, ErrUnavailable) {
		b.lost = err
	}
	return err
}

// held reports whether the transaction is still prepared.
func (b *recovered) held(ctx context.Context, id xid) (bool, error) {
	ids, err := b.ids(ctx)
	return slices.Contains(ids, id.String()), err
}

// ids lists what is prepared on the server.
func (b *recovered) ids(ctx context.Context) (ids []string, err error) {
	err = b.once(ctx, func(ctx context.Context) (err error) {
		ids, err = b.e.listPrepared(ctx, b.e.twoPhase(), b.e.commits.conn)
		return err
	})
	return ids, err
}
