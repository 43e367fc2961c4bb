package echobun_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/echobun/echobun"
)

// BenchmarkTxOfTwoFiles has eight goroutines write a row to one SQLite file and
// read another one, half of them in the opposite order, and tells how many
// transactions there are in a second.
func BenchmarkTxOfTwoFiles(b *testing.B) {
	for _, c := range []struct{ name, parameters string }{{"immediate", ""}, {"deferred", "?_txlock=deferred"}} {
		for _, opposite := range []bool{false, true} {
			name := c.name + "/same order"
			if opposite {
				name = c.name + "/opposite order"
			}
			b.Run(name, func(b *testing.B) {
				x, _, _ := filesBank(b, c.parameters)
				var n, names atomic.Int64
				b.SetParallelism(4)
				b.RunParallel(func(pb *testing.PB) {
					first := opposite && n.Add(1)%2 == 0
					for pb.Next() {
						if err := oneOfTwoFiles(x, names.Add(1), first); err != nil {
							b.Error(err)
							return
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
			})
		}
	}
}

func oneOfTwoFiles(x *echobun.Extension, name int64, readsFirst bool) error {
	ctx, end := x.AppContext(context.Background())
	defer end()
	s, err := x.Session(ctx)
	if err != nil {
		return err
	}
	return s.RunInTx(ctx, &echobun.TxOptions{Retries: 50}, func(ctx context.Context, tx *echobun.Session) error {
		read := func() error { return reads("credits")(ctx, tx) }
		if readsFirst {
			if err := read(); err != nil {
				return err
			}
		}
		if err := ran(tx.NewInsert().Model(&Debit{Name: strconv.FormatInt(name, 10)}).Exec(ctx)); err != nil || readsFirst {
			return err
		}
		return read()
	})
}
