package budget

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Price is what a model costs, in millionths of a currency for a million tokens:
// the number of the currency's units for a million tokens is 1,000,000 of them.
type Price struct {
	Model  string // pattern with * for any characters
	Input  int64
	Output int64
}

// Prices is the price table; the longest pattern that fits counts.
type Prices []Price

// ParsePrices reads "gpt-5*=1.25/10, local=0": units of the currency for a million
// tokens in and out; one number is for both.
func ParsePrices(text string) (Prices, error) {
	var out Prices
	for _, one := range strings.Split(text, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		model, price, ok := strings.Cut(one, "=")
		in, outward, two := strings.Cut(price, "/")
		if !two {
			outward = in
		}
		a, errA := millionths(in)
		b, errB := millionths(outward)
		if _, err := path.Match(model, ""); !ok || model == "" || err != nil || errA != nil || errB != nil {
			return nil, fmt.Errorf("%q is no price, such as gpt-5*=1.25/10", one)
		}
		out = append(out, Price{strings.TrimSpace(model), a, b})
	}
	return out, nil
}

func millionths(s string) (int64, error) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || f < 0 || f > 1e6 {
		return 0, errors.New("no price")
	}
	return int64(f*1e6 + 0.5), nil
}

// ParseAmount reads an amount of a unit; money is in units of the currency.
func ParseAmount(unit, text string) (int64, error) {
	if unit == Money {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || f < 0 || f > 1e9 {
			return 0, fmt.Errorf("%q is no amount of money", text)
		}
		return int64(f*1e6 + 0.5), nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is no number of %s", text, unit)
	}
	return n, nil
}

func (p Prices) of(model string) (Price, bool) {
	best, found := Price{}, false
	for _, x := range p {
		if ok, err := path.Match(x.Model, model); err == nil && ok && (!found || len(x.Model) > len(best.Model)) {
			best, found = x, true
		}
	}
	return best, found
}

func (p Prices) knows(model string) bool {
	_, ok := p.of(model)
	return ok
}

// Cost is what a call of a model costs, in millionths, rounded up; 0 where nobody
// has told the price.
func (p Prices) Cost(model string, input, output int64) int64 {
	x, ok := p.of(model)
	if !ok {
		return 0
	}
	return (input*x.Input + output*x.Output + 999_999) / 1_000_000
}
