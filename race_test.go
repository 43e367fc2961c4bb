//go:build race

package echobun_test

// raced says that the race detector watches, with which what is not about
// goroutines takes thirty times as long.
const raced = true
