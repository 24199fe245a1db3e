package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/history/driver"
)

// scan reads what every owner in every datacenter holds of every key, and reports
// those of which two do not hold the same bytes.
func (r *run) scan(ctx context.Context) error {
	keys, err := driver.KeysOf(r.load.opts)
	if err != nil {
		return err
	}
	var errs []error
	for _, key := range append(keys, r.load.watched...) {
		if err := r.cluster.scanKey(ctx, key); err != nil && len(errs) < shown {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (c *cluster) scanKey(ctx context.Context, key string) error {
	var first []byte
	of := ""
	for _, admin := range c.admins {
		got, err := admin.EveryCells(ctx, key, client.WithTimeout(10*time.Second))
		if err != nil {
			return fmt.Errorf("cells of %s: %w", key, err)
		}
		if len(got.GetMissing()) > 0 {
			return fmt.Errorf("cells of %s: no answer of %s", key, strings.Join(got.GetMissing(), ", "))
		}
		for _, one := range append(got.GetOthers(), got) {
			if of == "" {
				of, first = one.GetNode(), one.GetSnapshot()
			} else if !bytes.Equal(first, one.GetSnapshot()) {
				return fmt.Errorf("%s and %s hold different bytes of key %s", of, one.GetNode(), key)
			}
		}
	}
	return nil
}
