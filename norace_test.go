//go:build !race

package echobun_test

const raced = false
