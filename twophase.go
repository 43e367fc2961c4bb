package echobun

import "context"

type twoPhase struct{}

func (t *transaction) twoPhaseNeeded([]*branch) bool      { return false }
func (t *transaction) commitTwoPhase(b []*branch) error   { return commitAll(b) }
func (b *branch) beginTwoPhase(ctx context.Context) error { return b.beginOn(ctx, b.e.db) }
