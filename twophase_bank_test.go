package echobun_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/cutproxy"
)

// Account is on the default bind, Vault on "auth".
type Account struct {
	bun.BaseModel `bun:"table:accounts"`

	ID      int64 `bun:",pk"`
	Balance int64 `bun:",notnull"`
}

type Vault struct {
	bun.BaseModel `bun:"table:vaults"`
	authModel

	ID      int64 `bun:",pk"`
	Balance int64 `bun:",notnull"`
}

const (
	bankClients = 64
	bankOwners  = 16
	bankMoney   = 1000
)

// TestBank moves money between PostgreSQL and MariaDB while connections are
// cut: the total never changes.
func TestBank(t *testing.T) {
	t.Parallel()
	b := newCutBank(t)
	require.NoError(t, b.sound.Register((*Account)(nil), (*Vault)(nil)))
	require.NoError(t, b.x.Register((*Account)(nil), (*Vault)(nil)))
	ctx, sound := newSession(t, b.sound)
	require.NoError(t, b.sound.CreateAll(ctx))
	for id := range int64(bankOwners) {
		_, err := sound.NewInsert().Model(&Account{ID: id, Balance: bankMoney}).Exec(ctx)
		require.NoError(t, err)
		_, err = sound.NewInsert().Model(&Vault{ID: id, Balance: bankMoney}).Exec(ctx)
		require.NoError(t, err)
	}

	open := time.Duration(times(4, 30)) * time.Second
	faulty, cure := context.WithTimeout(ctx, open)
	defer cure()
	closing, stop := context.WithTimeout(ctx, open+time.Minute)
	defer stop()
	var (
		clients      sync.WaitGroup
		done, undone atomic.Int64
	)
	for range bankClients {
		clients.Go(func() {
			ctx, end := b.x.AppContext(closing)
			defer end()
			s, err := b.x.Session(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			for closing.Err() == nil {
				if move(ctx, s) == nil {
					done.Add(1)
				} else {
					undone.Add(1)
				}
			}
		})
	}
	clients.Go(func() {
		b.disturb(faulty)
		for done.Load() == 0 && closing.Err() == nil { // A slow machine needs some time without faults.
			time.Sleep(10 * time.Millisecond)
		}
		stop()
	})
	clients.Wait()

	var left error
	for range 100 { // For 20 s and the time that they take.
		report, err := b.sound.RecoverPrepared(ctx)
		if left = err; err == nil && len(report.InDoubt) > 0 {
			left = fmt.Errorf("%s: %v", report, b.log.String())
		}
		if left == nil {
			break
		}
		b.log.Reset()
		time.Sleep(200 * time.Millisecond) // A poll.
	}
	require.NoError(t, left)
	var accounts, vaults int64
	require.NoError(t, sound.NewRaw("SELECT sum(balance) FROM accounts").Scan(ctx, &accounts))
	require.NoError(t, sound.Bind("auth").NewRaw("SELECT sum(balance) FROM vaults").Scan(ctx, &vaults))
	require.EqualValues(t, 2*bankOwners*bankMoney, accounts+vaults, "GRAVE: the total has changed")
	require.Positive(t, done.Load())
	require.Positive(t, undone.Load(), "the faults were not felt")
	require.Eventually(t, func() bool { // What database/sql was opening for those who gave up counts too.
		return b.x.Engines()[""].Stats().InUse+b.x.Engines()["auth"].Stats().InUse == 0
	}, 10*time.Second, time.Millisecond)
	requireAtRest(t, b.x)
	t.Logf("%d transfers, %d undone, %d cuts; accounts %d, vaults %d", done.Load(), undone.Load(),
		b.proxies[""].Cuts()+b.proxies["auth"].Cuts(), accounts, vaults)
}

// move moves some money, one way or the other.
func move(ctx context.Context, s *echobun.Session) error {
	ctx, cancel := context.WithTimeout(ctx, rand.N(2*time.Second))
	defer cancel()
	owner, amount := rand.Int64N(bankOwners), rand.Int64N(20)-10
	opts := &echobun.TxOptions{TwoPhase: true, CommitTimeout: time.Second, Retries: 2}
	if amount%2 == 0 {
		opts.Order = []string{"auth", ""}
	}
	return s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
		_, err := tx.NewUpdate().Model((*Account)(nil)).Set("balance = balance + ?", amount).Where("id = ?", owner).Exec(ctx)
		if err != nil {
			return err
		}
		_, err = tx.NewUpdate().Model((*Vault)(nil)).Set("balance = balance - ?", amount).Where("id = ?", owner).Exec(ctx)
		return err
	})
}

// disturb cuts connections at every word of the protocol, and recovers.
func (b *cutBank) disturb(ctx context.Context) {
	words := []string{"commit", "prepare", "xa end", "xa commit", "update", "begin", "insert into echobun_commits"}
	modes := []cutproxy.Mode{cutproxy.DropRequest, cutproxy.DropReply, cutproxy.HangReply}
	for i := 0; ctx.Err() == nil; i++ {
		for _, p := range b.proxies {
			p.Arm(modes[rand.IntN(len(modes))], words[rand.IntN(len(words))])
			if i%20 == 0 {
				p.Cut()
			}
		}
		if i%25 == 0 {
			_, _ = b.sound.RecoverPrepared(ctx)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}
