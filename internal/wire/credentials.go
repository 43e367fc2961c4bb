package wire

import "fmt"

// CredentialsError wraps the error of driver.Options.Credentials. It is nil for nil.
func CredentialsError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("credentials: %w", err)
}
