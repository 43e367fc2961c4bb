package echobun

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/failpoint"
)

// afterLimit is what a commit may take beyond its limit to find out, or to
// finish, what a step that used the limit up has left open.
const afterLimit = 150 * time.Millisecond

// hangUpLimit is what a driver may take, after the context of a statement has
// ended, to give up a connection that does not answer.
const hangUpLimit = 200 * time.Millisecond

// A twoPhase is the commit of a transaction on several binds, of which all
// commit or none.
//
// The coordinator commits in one phase, and its commit is the decision: with
// its own part goes a row of its [commitLog] that names the transaction. All
// others are prepared before, and commit after. Whatever dies, recovery finds
// the prepared ones and asks the coordinator's log what to do with them.
type twoPhase struct {
	t            *transaction
	coordinator  *branch
	participants []*branch
	home         string       // Of the coordinator's log in IDs.
	id           string       // Of the transaction in the logs.
	pointers     []*commitLog // Logs that say that the coordinator's has the decision.
	deadline     time.Time
}

// twoPhaseNeeded reports whether the commit of branches needs two phases.
func (t *transaction) twoPhaseNeeded(branches []*branch) bool {
	return t.id != "" && t.inTwoPhases() && len(branches) > 1
}

// inTwoPhases reports whether the branches have to be able to prepare.
func (t *transaction) inTwoPhases() bool {
	return t.opts.TwoPhase && !t.opts.ReadOnly && !t.app.x.isolated()
}

// commitTwoPhase commits all branches or none.
func (t *transaction) commitTwoPhase(branches []*branch) error {
	p := newTwoPhase(t, branches)
	returned := false
	defer func() {
		if !returned {
			p.discard() // A query hook panicked.
		}
	}()
	err := p.commit()
	returned = true
	return err
}

// discard leaves everything to recovery, the connections apart.
func (p *twoPhase) discard() {
	p.coordinator.discard()
	for _, b := range p.participants {
		b.discard()
	}
}

func (p *twoPhase) commit() error {
	failpoint.Hit("begin")
	if err := p.prepareAll(); err != nil {
		return joinBehind(err, p.rollback())
	}
	if err := p.decide(); err != nil {
		return err
	}
	p.finish()
	return nil
}

func newTwoPhase(t *transaction, branches []*branch) *twoPhase {
	p := &twoPhase{
		t: t, coordinator: coordinatorOf(t, branches), id: t.app.x.logID(t.id),
		deadline: time.Now().Add(t.opts.commitTimeout()),
	}
	p.home = p.coordinator.e.commits.home()
	for _, b := range branches {
		if b != p.coordinator {
			p.participants = append(p.participants, b)
		}
	}
	return p
}

// coordinatorOf returns the branch that cannot be prepared, else the first.
func coordinatorOf(t *transaction, branches []*branch) *branch {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range branches {
		if b == t.last {
			return b
		}
	}
	return branches[0]
}

// logID returns the name of a transaction in the logs.
func (x *Extension) logID(tx string) string { return x.app + "/" + tx }

// step returns the context of one step: what is left of the time, and never nothing.
func (p *twoPhase) step() (context.Context, context.CancelFunc) {
	left := max(time.Until(p.deadline)-hangUpLimit, afterLimit)
	return context.WithTimeout(context.WithoutCancel(p.t.ctx), left)
}

// prepareAll prepares all participants. Before the first, the decision stands
// in the coordinator's transaction: whoever recovers waits for its end then.
// Only after that is word left of where it stands. Who finds such a word, and
// no decision, can be sure that there will be none once that transaction has
// ended, however long ago the word was left by whatever clock.
func (p *twoPhase) prepareAll() error {
	if err := p.coordinator.logErr; err != nil {
		return err
	}
	if err := p.record(); err != nil {
		return err
	}
	if err := p.point(); err != nil {
		return err
	}
	for _, b := range p.participants {
		failpoint.Hit("prepare")
		if err := p.prepare(b); err != nil {
			return err
		}
		failpoint.Hit("prepared")
	}
	return nil
}

// point leaves word of where the decision will be, for branches that had to
// be named before the coordinator was known.
func (p *twoPhase) point() error {
	for _, b := range p.participants {
		if !b.part.Fixed || b.home.commits.is(&p.coordinator.e.commits, b.homeName, p.home) {
			continue
		}
		if err := p.pointFrom(b); err != nil {
			return err
		}
		p.pointers = append(p.pointers, &b.home.commits)
		failpoint.Hit("pointed")
	}
	return nil
}

// pointFrom leaves that word in the log that a branch has named.
func (p *twoPhase) pointFrom(b *branch) error {
	c := &b.home.commits
	switch {
	case b.home == b.e && b.logErr != nil:
		return b.logErr // Nobody could tell where to look.
	case b.home == p.coordinator.e:
		return c.impossible(errOtherTable) // It was made anew since the branch has begun.
	}
	ctx, cancel := p.step()
	defer cancel()
	word := decision{ID: p.id, Decision: decidedSee + p.home, Binds: p.binds()}
	err := c.insertInto(ctx, nil, b.homeName, word)
	if errors.Is(err, ErrUnique) { // Another branch has named the same log.
		if found, _ := c.read(ctx, p.id); found == word {
			return nil
		}
	}
	if err != nil {
		c.reopen()
		return c.impossible(err)
	}
	return nil
}

// record puts the decision into the coordinator's transaction.
func (p *twoPhase) record() error {
	ctx, cancel := p.step()
	defer cancel()
	c := &p.coordinator.e.commits
	if err := c.insertInto(ctx, p.coordinator, p.home, decision{ID: p.id, Decision: decidedCommit, Binds: p.binds()}); err != nil {
		c.reopen()
		return c.impossible(err)
	}
	failpoint.Hit("recorded")
	return nil
}

// binds lists the participants for the log.
func (p *twoPhase) binds() string {
	tokens := make([]string, len(p.participants))
	for i, b := range p.participants {
		tokens[i] = shortName(b.e.key)
	}
	return strings.Join(tokens, " ")
}

// prepare prepares one participant. An answer that is lost leaves nothing
// open: without the decision, the transaction is rolled back. Only what a
// statement has ended before may be committed.
func (p *twoPhase) prepare(b *branch) error {
	if !b.part.Fixed {
		b.part.ID = p.t.xid(b, p.home)
	}
	err := b.prepare()
	var bindErr *BindError
	if errors.As(err, &bindErr) && errors.Is(err, ErrOutcomeUnknown) && !errors.Is(err, errEnded) {
		class := bindErr.class&^driver.OutcomeUnknown | driver.Unavailable
		return &BindError{Bind: bindErr.Bind, Op: bindErr.Op, Err: bindErr.Err, class: class}
	}
	return err
}

// xid returns the ID of a branch whose decision stands in the log named home.
func (t *transaction) xid(b *branch, home string) string {
	return xid{app: t.app.x.app, tx: t.id, home: home, bind: shortName(b.e.key)}.String()
}

// rollback rolls everything back after a prepare has failed, or the decision.
// What cannot be reached is left to recovery, which finds no decision.
func (p *twoPhase) rollback() error {
	err := p.coordinator.rollback()
	finished := true
	for _, b := range p.participants {
		if !b.part.Prepare {
			err = errors.Join(err, b.rollback())
			continue
		}
		failpoint.Hit("roll back")
		ctx, cancel := p.step()
		finished = p.leave(b, b.rollbackPrepared(ctx)) && finished
		cancel()
		failpoint.Hit("rolled back")
	}
	if finished {
		failpoint.Hit("forget")
		p.forget(p.pointers)
	}
	return err
}

// decide commits the coordinator.
func (p *twoPhase) decide() error {
	failpoint.Hit("decide")
	err := p.coordinator.commit()
	if err != nil && errors.Is(err, ErrOutcomeUnknown) {
		err = p.ask(err)
	}
	var open *CommitError
	switch {
	case err == nil:
		failpoint.Hit("decided")
		return nil
	case errors.As(err, &open):
		p.abandon()
		return err
	}
	return joinBehind(err, p.rollback())
}

// ask settles a commit whose answer was lost by looking into the log.
func (p *twoPhase) ask(lost error) error {
	ctx, cancel := p.step()
	defer cancel()
	d, err := p.coordinator.e.commits.claim(ctx, p.id)
	switch {
	case err != nil:
		unknown := append(keysOf([]*branch{p.coordinator}), keysOf(p.participants)...)
		return &CommitError{Unknown: unknown, Err: joinBehind(lost, err)}
	case d.Decision == decidedCommit:
		return nil
	}
	return &BindError{Bind: p.coordinator.e.key, Op: "COMMIT", Err: fmt.Errorf("rolled back: %w", causeOf(lost)), class: driver.Unavailable}
}

// causeOf returns what the driver said.
func causeOf(err error) error {
	var bindErr *BindError
	if errors.As(err, &bindErr) {
		return bindErr.Err
	}
	return err
}

// abandon leaves the prepared participants to recovery.
func (p *twoPhase) abandon() {
	for _, b := range p.participants {
		b.giveUp()
	}
}

// finish commits the participants and forgets the decision, which is done
// already: what fails here is left to recovery.
func (p *twoPhase) finish() {
	finished := true
	for _, b := range p.participants {
		failpoint.Hit("finish")
		ctx, cancel := p.step()
		finished = p.leave(b, b.commitPrepared(ctx)) && finished
		cancel()
		failpoint.Hit("finished")
	}
	if finished {
		failpoint.Hit("forget")
		p.forget(append(p.pointers, &p.coordinator.e.commits))
	}
}

// leave logs that a participant is left to recovery, if it could not be
// finished. It reports whether it could.
func (p *twoPhase) leave(b *branch, err error) bool {
	if err == nil || errors.Is(err, driver.ErrNotPrepared) {
		return true // Recovery may have been faster.
	}
	x := p.t.app.x
	x.logger.WarnContext(context.WithoutCancel(p.t.ctx), "echobun: prepared transaction is left to RecoverPrepared",
		"bind", b.e.key, "id", b.part.ID, "error", b.e.metadata.x.reason(err))
	return false
}

// forget removes the transaction from logs. Recovery does, where it fails.
func (p *twoPhase) forget(logs []*commitLog) {
	for _, c := range logs {
		ctx, cancel := p.step()
		if err := c.remove(ctx, p.id); err != nil {
			p.t.app.x.logger.DebugContext(ctx, "echobun: decision is left to RecoverPrepared", "bind", c.e.key, "error", c.e.metadata.x.reason(err))
		}
		cancel()
	}
}
