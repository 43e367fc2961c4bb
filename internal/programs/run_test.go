package programs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun"
)

var (
	errOwn   = errors.New("the function fails")
	binds    = [3]string{"", "auth", "meta"}
	errPanic = "the function panics"
)

// A scope is what the model knows of a level that is open.
type scope struct {
	outer  *scope
	rows   [3][]string
	hooks  []int
	doomed bool
	cancel context.CancelFunc
}

// A run is a program under way.
type run struct {
	p        *program
	x        *echobun.Extension
	names    int
	attempts int
	want     [3][]string // What is to be there in the end.
	maybe    [3]bool     // Or nothing: the outcome is told to be unknown.
	hooks    []int       // Those that are to be called.
	called   []int
	bodyErr  error
	dead     bool // The context of the whole has ended.
	torn     bool // Something has failed for want of time, or for another program.
	done     bool // It is told to be committed.
	wrong    []string
}

func (r *run) complain(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

// notice looks whether an error depends on time, or on another program.
func (r *run) notice(err error) {
	r.torn = r.torn || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, echobun.ErrSerialization)
}

// expect compares an error with whether there should be one. After a failure
// that depends on time whatever follows may fail; but nothing may succeed that
// must not.
func (r *run) expect(o op, err error, want bool) {
	r.notice(err)
	if err != nil && r.torn {
		return
	}
	if (err == nil) != want {
		r.complain("%s on %d: %v, want success: %t", kindNames[o.kind], o.bind, err, want)
	}
}

func (r *run) name() string {
	r.names++
	return fmt.Sprintf("%s%d", r.p.prefix(), r.names)
}

// all runs the program and compares what it was told.
func (r *run) all() {
	ctx, end := r.x.AppContext(context.Background())
	defer end()
	db, err := r.x.Session(ctx)
	if err != nil {
		r.complain("session: %v", err)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	if r.p.timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, r.p.timeout)
	}
	defer cancel()
	last := &scope{doomed: true}
	err = caught(func() error {
		opts := &echobun.TxOptions{Retries: r.p.retries, TwoPhase: r.p.twoPhase}
		return db.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
			last = &scope{cancel: cancel}
			return r.attempt(ctx, tx, last)
		})
	})
	commits := !last.doomed && !r.dead && r.p.exit == returns && r.attempts > r.p.failures && r.bodyErr == nil
	r.torn = r.torn || errors.Is(ctx.Err(), context.DeadlineExceeded)
	r.expect(op{kind: nested}, err, commits)
	r.conclude(err, last)
}

// conclude says what is to be there after a transaction that was told to have
// ended with an error, or with none.
func (r *run) conclude(err error, last *scope) {
	var partial *echobun.CommitError
	switch {
	case err == nil:
		r.want, r.hooks, r.done = last.rows, last.hooks, true
	case errors.As(err, &partial):
		for i, key := range binds {
			r.maybe[i] = slices.Contains(partial.Unknown, key)
			if r.maybe[i] || slices.Contains(partial.Committed, key) {
				r.want[i] = last.rows[i]
			}
		}
		return // Whether hooks run is not said.
	case errors.Is(err, echobun.ErrOutcomeUnknown):
		r.want, r.maybe = last.rows, [3]bool{true, true, true}
	}
	slices.Sort(r.called)
	slices.Sort(r.hooks)
	if !slices.Equal(r.called, r.hooks) {
		r.complain("hooks %v were called, want %v", r.called, r.hooks)
	}
}

// caught makes an error of a panic.
func caught(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p != errPanic {
				panic(p)
			}
			err = errOwn
		}
	}()
	return do()
}

// attempt runs the function of the transaction once.
func (r *run) attempt(ctx context.Context, tx *echobun.Session, s *scope) error {
	r.attempts++
	r.bodyErr = errOwn // Unless it returns.
	r.bodyErr = r.body(ctx, tx, s, r.p.body)
	r.dead = r.dead || ctx.Err() != nil
	if r.bodyErr != nil {
		return r.bodyErr
	}
	if r.attempts <= r.p.failures {
		return fmt.Errorf("attempt %d: %w", r.attempts, echobun.ErrSerialization)
	}
	return leave(r.p.exit)
}

func leave(how exit) error {
	switch how {
	case fails:
		return errOwn
	case panics:
		panic(errPanic)
	}
	return nil
}

func (r *run) body(ctx context.Context, tx *echobun.Session, s *scope, body []op) error {
	for _, o := range body {
		if err := r.do(ctx, tx, s, o); err != nil && !o.hide {
			return err
		}
	}
	return nil
}

func (r *run) do(ctx context.Context, tx *echobun.Session, s *scope, o op) error {
	switch o.kind {
	case hook:
		r.names++
		id := r.names
		s.hooks = append(s.hooks, id)
		tx.AfterCommit(func(context.Context) { r.called = append(r.called, id) })
		return nil
	case cancel:
		s.cancel()
		r.dead = r.dead || s.outer == nil
		return nil
	case nested, begun:
		return r.nest(ctx, tx, s, o)
	case bunNested:
		return r.nestBun(ctx, tx, s, o)
	case together:
		return r.together(ctx, tx, s, o)
	default:
		return r.statement(ctx, tx, s, o)
	}
}

// statement sends one statement. It succeeds if it is right, and nothing has
// failed on its level before.
func (r *run) statement(ctx context.Context, tx *echobun.Session, s *scope, o op) error {
	name := r.name()
	want := !s.doomed && ctx.Err() == nil && o.kind != duplicate && o.kind != invalid && o.kind != late
	db := tx.Bind(binds[o.bind])
	var err error
	switch o.kind {
	case goroutine:
		var other sync.WaitGroup
		other.Go(func() { err = send(ctx, db, o.kind, name) })
		other.Wait()
	case late:
		ended, cancel := context.WithCancel(ctx)
		cancel()
		err = send(ended, db, o.kind, name)
	case amid:
		soon, cancel := context.WithTimeout(ctx, o.wait)
		_, err = db.ExecContext(soon, slow(db), name)
		cancel()
	default:
		err = send(ctx, db, o.kind, name)
	}
	r.torn = r.torn || errors.Is(ctx.Err(), context.DeadlineExceeded)
	r.expect(o, err, want)
	switch {
	case err != nil:
		s.doomed = true
	case o.kind != read:
		s.rows[o.bind] = append(s.rows[o.bind], name)
	}
	return err
}

// together sends three rows at once, of which one may be taken. On a level that
// fails meanwhile it is chance which of the others are before that.
func (r *run) together(ctx context.Context, tx *echobun.Session, s *scope, o op) error {
	var names [3]string
	var errs [3]error
	open := !s.doomed && ctx.Err() == nil
	var all sync.WaitGroup
	for i := range names {
		names[i] = r.name()
		k := insert
		if i == 1 && o.exit != returns {
			k = duplicate
		}
		all.Go(func() { errs[i] = send(ctx, tx.Bind(binds[(o.bind+i)%3]), k, names[i]) })
	}
	all.Wait()
	for i, err := range errs {
		switch taken := i == 1 && o.exit != returns; {
		case taken:
			r.expect(o, err, false)
		case err == nil || o.exit == returns:
			r.expect(o, err, open)
		}
		s.doomed = s.doomed || err != nil
		if err == nil {
			bind := (o.bind + i) % 3
			s.rows[bind] = append(s.rows[bind], names[i])
		}
	}
	return errors.Join(errs[:]...)
}

// slow returns an INSERT of one row that takes about two milliseconds.
func slow(db bun.IDB) string {
	switch db.Dialect().Name() {
	case dialect.PG:
		return "INSERT INTO things (name) SELECT ? FROM pg_sleep(0.002)"
	case dialect.MySQL:
		return "INSERT INTO things (name) SELECT ? FROM (SELECT sleep(0.002)) AS pause"
	}
	return "INSERT INTO things (name) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) " +
		"SELECT ? WHERE (SELECT count(*) FROM n) > 0"
}

func send(ctx context.Context, db bun.IDB, k kind, name string) error {
	switch k {
	case duplicate:
		name = "taken"
	case invalid:
		_, err := db.ExecContext(ctx, "INSERT nothing at all")
		return err
	case read:
		_, err := db.NewSelect().Table("things").Count(ctx)
		return err
	}
	_, err := db.ExecContext(ctx, "INSERT INTO things (name) VALUES (?)", name)
	return err
}

// nest runs a nested transaction.
func (r *run) nest(ctx context.Context, tx *echobun.Session, s *scope, o op) error {
	inner := &scope{outer: s}
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	inner.cancel = cancel
	ran := false
	fn := func(ctx context.Context, tx *echobun.Session) error {
		ran = true
		if err := r.body(ctx, tx, inner, o.body); err != nil {
			return err
		}
		return leave(o.exit)
	}
	var bodyErr error
	err := caught(func() error {
		if o.kind == nested {
			return tx.RunInTx(own, nil, func(ctx context.Context, tx *echobun.Session) error {
				bodyErr = errOwn // Unless it returns.
				bodyErr = fn(ctx, tx)
				return bodyErr
			})
		}
		return r.begin(own, tx, fn, &bodyErr)
	})
	if ctx.Err() != nil {
		return err // The whole has ended, or is about to: it depends on who is faster.
	}
	r.notice(err)
	if ran == s.doomed && (ran || !r.torn) {
		r.complain("%s on a level that is doomed: %t", kindNames[o.kind], s.doomed)
	}
	commits := ran && bodyErr == nil && !inner.doomed && own.Err() == nil
	r.expect(o, err, commits)
	if err == nil {
		for i := range s.rows {
			s.rows[i] = append(s.rows[i], inner.rows[i]...)
		}
		s.hooks = append(s.hooks, inner.hooks...)
	}
	return err
}

// begin is RunInTx by Begin, Commit and Rollback.
func (r *run) begin(ctx context.Context, tx *echobun.Session, fn func(context.Context, *echobun.Session) error, bodyErr *error) error {
	inner, err := tx.Begin(ctx, nil)
	if err != nil {
		*bodyErr = err
		return err
	}
	defer func() {
		if err := inner.Rollback(ctx); err != nil && !r.dead && !r.torn && ctx.Err() == nil {
			r.complain("rollback: %v", err)
		}
	}()
	*bodyErr = errOwn // Unless it returns.
	if *bodyErr = fn(ctx, inner); *bodyErr != nil {
		return *bodyErr
	}
	return inner.Commit(ctx)
}

// nestBun runs one of Bun's nested transactions. A failure in it dooms the level
// around it, unless it is rolled back.
func (r *run) nestBun(ctx context.Context, tx *echobun.Session, s *scope, o op) error {
	var rows []string
	failed, ran := false, false
	bodyErr := errOwn
	err := caught(func() error {
		return tx.Bind(binds[o.bind]).RunInTx(ctx, nil, func(ctx context.Context, btx bun.Tx) error {
			ran = true
			bodyErr = errOwn // Unless it returns.
			bodyErr = func() error {
				for _, step := range o.body {
					if step.kind > goroutine || step.kind == late {
						continue
					}
					name := r.name()
					want := step.kind != duplicate && step.kind != invalid
					err := send(ctx, btx, step.kind, name)
					if !failed && ctx.Err() == nil {
						r.expect(step, err, want)
					}
					failed = failed || err != nil
					if err != nil && !step.hide {
						return err
					}
					if err == nil && step.kind != read {
						rows = append(rows, name)
					}
				}
				return leave(o.exit)
			}()
			return bodyErr
		})
	})
	if ctx.Err() != nil {
		s.doomed = true // It is not committed, whoever is faster.
		return err
	}
	r.notice(err)
	if ran == s.doomed && (ran || !r.torn) {
		r.complain("%s on a level that is doomed: %t", kindNames[o.kind], s.doomed)
	}
	switch {
	case bodyErr != nil:
		r.expect(o, err, false)
	case failed:
		s.doomed = true
	case err != nil:
		r.expect(o, err, true)
		s.doomed = true
	default:
		s.rows[o.bind] = append(s.rows[o.bind], rows...)
	}
	return err
}
