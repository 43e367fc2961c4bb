package echobun

import "time"

// suspect logs, once, what was opened here if it is not closed before
// LeakThreshold is over. Closing it is to stop the timer, which is nil without
// a threshold.
func (e *engine) suspect(what string) *time.Timer {
	x := e.metadata.x
	if x.leakThreshold <= 0 {
		return nil
	}
	opened := caller()
	return time.AfterFunc(x.leakThreshold, func() { x.logLeak(what, opened, []string{e.key}) })
}

// cleared says that what was suspected has been closed.
func cleared(suspect *time.Timer) {
	if suspect != nil {
		suspect.Stop()
	}
}

func (x *Extension) logLeak(what, opened string, binds []string) {
	x.logger.Warn("echobun: "+what+" is still open", "binds", binds, "opened", opened, "threshold", x.leakThreshold)
}

// openedHere makes the line of the application that is being run the one that
// has opened the transaction.
func (t *transaction) openedHere() {
	if t.app.x.leakThreshold > 0 {
		t.opened = caller()
	}
}

// watchLeak suspects the transaction, over all binds, of a leak from its first
// statement on: before it, there is nothing that could be kept. That is also
// the line that has opened the transaction of an atomic request, which no line
// of the application begins. It needs mu.
func (t *transaction) watchLeak() {
	x := t.app.x
	if x.leakThreshold <= 0 {
		return
	}
	if t.opened == "" {
		t.opened = caller()
	}
	t.suspect = time.AfterFunc(x.leakThreshold, func() {
		t.mu.Lock()
		over, opened, binds := t.over, t.opened, keysOf(t.branches)
		t.mu.Unlock()
		if !over {
			x.logLeak("transaction", opened, binds)
		}
	})
}
