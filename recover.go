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

// Limits of one step of a recovery.
const (
	recoverStep  = 1500 * time.Millisecond
	recoverHeld  = 500 * time.Millisecond // For a transaction whose connection is about to end.
	recoverPause = 25 * time.Millisecond
)

// pointerAge is how long a log keeps saying whose log has a decision: longer
// than any commit takes. It says so before the first branch is prepared, so
// that nothing is prepared does not mean that nobody will ask.
const pointerAge = time.Hour

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
// It is safe beside transactions that are being committed, and from several
// processes at once. What cannot be decided now, because the coordinator is
// not configured here or cannot be reached, is left alone, counted as in doubt
// and logged. Transactions of other applications, by [Config.AppName], are not
// touched. What is prepared cannot be seen on a standby and on an engine of the
// user's own: decisions that concern such a bind are kept.
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
	r := &recovery{x: x, report: report, binds: map[string]*recovered{}}
	r.look(ctx)
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
	ctx, cancel := context.WithTimeout(ctx, recoverStep)
	defer cancel()
	c := &b.e.commits
	installation, err := c.load(ctx)
	if err != nil || installation == "" {
		b.fault(ctx, err)
		return
	}
	c.seen(installation)
	rows, err := c.all(ctx, app)
	if err != nil {
		b.fault(ctx, err)
		return
	}
	b.rows, b.logged = rows, true
}

// fault keeps the error of a bind that cannot be reached.
func (b *recovered) fault(ctx context.Context, err error) {
	if err != nil && (errors.Is(err, ErrUnavailable) || ctx.Err() != nil) {
		b.errs = append(b.errs, err)
	}
}

// list lists what this application has prepared on the bind.
func (b *recovered) list(ctx context.Context) {
	tp := b.e.twoPhase()
	if tp == nil {
		return // What another configuration has prepared there would not be seen.
	}
	ctx, cancel := context.WithTimeout(ctx, recoverStep)
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
			claiming, cancel := context.WithTimeout(ctx, recoverStep)
			var err error
			d, err = b.e.commits.claim(claiming, id)
			cancel()
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
		next, sees := strings.CutPrefix(d.Decision, decidedSee)
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
		held, listErr := b.held(ctx, tp, id)
		if listErr != nil || !held {
			return false, listErr
		}
		if time.Since(start) > recoverHeld {
			return false, errHeld
		}
		time.Sleep(recoverPause)
	}
}

func (b *recovered) once(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, recoverStep)
	defer cancel()
	return do(ctx)
}

// held reports whether the transaction is still prepared.
func (b *recovered) held(ctx context.Context, tp driver.TwoPhase, id xid) (bool, error) {
	var ids []string
	err := b.once(ctx, func(ctx context.Context) (err error) {
		ids, err = b.e.listPrepared(ctx, tp, b.e.commits.conn)
		return err
	})
	return slices.Contains(ids, id.String()), err
}

// forget removes the decisions that nobody needs any more: those whose
// branches have all been looked at, and are not prepared any more.
func (r *recovery) forget(ctx context.Context) {
	for _, key := range r.x.keys() {
		b := r.binds[key]
		for id, d := range b.rows {
			if !r.needed(id, d) {
				failpoint.Hit("remove")
				err := b.once(ctx, func(ctx context.Context) error { return b.e.commits.remove(ctx, id) })
				if err != nil {
					r.errs = append(r.errs, err)
					break
				}
				failpoint.Hit("removed")
			}
		}
	}
}

// needed reports whether a branch may still ask for the decision.
func (r *recovery) needed(id string, d decision) bool {
	for _, b := range r.binds {
		if b.open[id] {
			return true
		}
	}
	if strings.HasPrefix(d.Decision, decidedSee) && time.Since(time.Unix(d.At, 0)) < pointerAge {
		return true
	}
	for name := range strings.FieldsSeq(d.Binds) {
		b := r.named(name)
		if b == nil || !b.listed {
			return true
		}
	}
	return false
}

// named returns the bind of a token, or nil.
func (r *recovery) named(name string) *recovered {
	for key, b := range r.binds {
		if shortName(key) == name {
			return b
		}
	}
	return nil
}
