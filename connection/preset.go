package connection

import (
	"embed"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

//go:embed presets/*.yaml
var presets embed.FS

// PresetInfo is a preset that comes with the product.
type PresetInfo struct {
	Name  string   `json:"name"`
	About string   `json:"about"`
	Open  []string `json:"open"` // values that it leaves open, name and meaning
}

// Presets lists them by name. The first line of each, a comment, says what it is
// for; the lines "# open NAME: MEANING" name the values that it leaves open.
func Presets() []PresetInfo {
	entries, err := presets.ReadDir("presets")
	if err != nil {
		panic(err) // they are part of the program
	}
	var all []PresetInfo
	for _, e := range entries {
		p := PresetInfo{Name: strings.TrimSuffix(e.Name(), ".yaml")}
		text, err := PresetText(p.Name)
		if err != nil {
			panic(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if open, ok := strings.CutPrefix(line, "# open "); ok {
				p.Open = append(p.Open, open)
			} else if i == 0 {
				p.About = strings.TrimPrefix(line, "# ")
			}
		}
		all = append(all, p)
	}
	return all
}

// PresetText is a preset as it is.
func PresetText(name string) ([]byte, error) {
	if !goodConnection.MatchString(name) {
		return nil, fmt.Errorf("there is no preset %q", name)
	}
	text, err := presets.ReadFile(path.Join("presets", name+".yaml"))
	if err != nil {
		return nil, fmt.Errorf("there is no preset %q; deskmate connection presets lists them", name)
	}
	return text, nil
}

var openValue = regexp.MustCompile(`\$\{([a-z]+)\}`)

// Preset is a preset with the values that it leaves open.
func Preset(name string, values map[string]string) ([]byte, error) {
	text, err := PresetText(name)
	if err != nil {
		return nil, err
	}
	var missing []string
	used := map[string]bool{}
	out := openValue.ReplaceAllStringFunc(string(text), func(m string) string {
		key := m[2 : len(m)-1]
		used[key] = true
		v, ok := values[key]
		if !ok && !slices.Contains(missing, key) {
			missing = append(missing, key)
		}
		return v
	})
	for k, v := range values {
		if !used[k] {
			return nil, fmt.Errorf("the preset %s has no value %q to fill", name, k)
		}
		// In the presets they stand in double quotes, where YAML reads only these as its own.
		if strings.ContainsAny(v, "\n\r\"\\") {
			return nil, fmt.Errorf("the value of %s must not hold quotes, backslashes or line ends", k)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("the preset %s needs --fill %s=…", name, strings.Join(missing, "=… --fill "))
	}
	return []byte(out), nil
}
