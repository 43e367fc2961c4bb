package programs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/uptrace/bun"

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
	hooks    []int       // Those that are to be called.
	called   []int
	bodyErr  error
	dead     bool // The context of the whole has ended.
	wrong    []string
}

func (r *run) complain(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

// expect compares an error with whether there should be one.
func (r *run) expect(o op, err error, want bool) {
	if (err == nil) != want {
		r.complain("%s on %d: %v, want success: %t", kindNames[o.kind], o.bind, err, want)
	}
}

func (r *run) name() string {
	r.names++
	return fmt.Sprintf("p%d_%d", r.p.seed, r.names)
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
	defer cancel()
	var last *scope
	err = caught(func() error {
		opts := &echobun.TxOptions{Retries: r.p.retries, TwoPhase: r.p.twoPhase}
		return db.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
			last = &scope{cancel: cancel}
			return r.attempt(ctx, tx, last)
		})
	})
	commits := !last.doomed && !r.dead && r.p.exit == returns && r.attempts > r.p.failures && r.bodyErr == nil
	if (err == nil) != commits {
		r.complain("the transaction: %v, want success: %t", err, commits)
	}
	if commits {
		r.want, r.hooks = last.rows, last.hooks
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
	r.bodyErr = r.body(ctx, tx, s, r.p.body)
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
	default:
		return r.statement(ctx, tx, s, o)
	}
}

// statement sends one statement. It succeeds if it is right, and nothing has
// failed on its level before.
func (r *run) statement(ctx context.Context, tx *echobun.Session, s *scope, o op) error {
	name := r.name()
	want := !s.doomed && ctx.Err() == nil && o.kind != duplicate && o.kind != invalid && o.kind != late
	var err error
	switch o.kind {
	case goroutine:
		var other sync.WaitGroup
		other.Go(func() { err = send(ctx, tx.Bind(binds[o.bind]), o.kind, name) })
		other.Wait()
	case late:
		ended, cancel := context.WithCancel(ctx)
		cancel()
		err = send(ended, tx.Bind(binds[o.bind]), o.kind, name)
	default:
		err = send(ctx, tx.Bind(binds[o.bind]), o.kind, name)
	}
	r.expect(o, err, want)
	switch {
	case err != nil:
		s.doomed = true
	case o.kind != read:
		s.rows[o.bind] = append(s.rows[o.bind], name)
	}
	return err
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
	if ran == s.doomed {
		r.complain("%s on a level that is doomed: %t", kindNames[o.kind], s.doomed)
	}
	commits := ran && bodyErr == nil && !inner.doomed && own.Err() == nil
	r.expect(o, err, commits)
	if commits {
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
		if err := inner.Rollback(ctx); err != nil && !r.dead {
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
					if step.kind >= hook || step.kind == late {
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
	if ran == s.doomed {
		r.complain("%s on a level that is doomed: %t", kindNames[o.kind], s.doomed)
	}
	switch {
	case bodyErr != nil:
		r.expect(o, err, false)
	case failed:
		s.doomed = true
	default:
		r.expect(o, err, true)
		s.rows[o.bind] = append(s.rows[o.bind], rows...)
	}
	return err
}
