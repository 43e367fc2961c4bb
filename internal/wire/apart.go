package wire

import (
	"errors"
	"fmt"
)

// ErrGoexit is of code of the application's that ends its goroutine, as
// [testing.T.FailNow] does. That cannot be stopped as a panic can.
var ErrGoexit = errors.New("code of the application's ended the goroutine (runtime.Goexit) in the middle of it")

// Apart runs code of the application's where somebody below waits for its
// return. It does so on another goroutine, so that neither a panic nor the end
// of that goroutine keep it from that: both are errors.
func Apart(what string, do func() error) (err error) {
	done, returned := make(chan struct{}), false
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				err = Panicked(what, p)
			} else if !returned {
				err = fmt.Errorf("%s: %w", what, ErrGoexit)
			}
		}()
		err = do()
		returned = true
	}()
	<-done
	return err
}
