package memory

import "strings"

// formsOf are the other forms of an irregular word, which no stemmer joins:
// "went" for "go", "children" for "child". nil for a regular one.
func formsOf(w string) []string { return irregular[w] }

// stem cuts a word to about what its forms have in common. It is rougher than the
// index's and only serves to hold texts against a query.
func stem(w string) string {
	if len(w) > 4 {
		for _, end := range []string{"ies", "ied"} {
			if cut, ok := strings.CutSuffix(w, end); ok {
				return cut + "i"
			}
		}
	}
	for _, end := range []string{"ing", "edly", "ed", "es", "s", "ly", "e", "y"} {
		cut, ok := strings.CutSuffix(w, end)
		if !ok || len(cut) < 3 || end == "s" && strings.HasSuffix(cut, "s") {
			continue
		}
		if end == "y" {
			return cut + "i"
		}
		if n := len(cut); n > 3 && cut[n-1] == cut[n-2] && cut[n-1] != 'l' && cut[n-1] != 's' { // planned, running
			cut = cut[:n-1]
		}
		return strings.TrimSuffix(cut, "e")
	}
	return w
}

// irregular maps each form to the others of its word. The list is of English
// verbs and nouns that people use at work and at home.
var irregular = func() map[string][]string {
	all := map[string][]string{}
	for _, line := range strings.Split(`be was were been is are|become became|begin began begun|bend bent|bet|bite bit bitten|bleed bled|blow blew blown
		break broke broken|breed bred|bring brought|build built|burn burnt|buy bought|catch caught|choose chose chosen choice|come came
		cost|creep crept|deal dealt|dig dug|do did done|draw drew drawn|dream dreamt|drink drank drunk|drive drove driven|eat ate eaten|fall fell fallen
		feed fed|feel felt|fight fought|find found|flee fled|fly flew flown flight|forget forgot forgotten|forgive forgave forgiven|freeze froze frozen
		get got gotten|give gave given gift|go went gone|grow grew grown growth|hang hung|have had|hear heard|hide hid hidden|hold held|hurt
		keep kept|kneel knelt|know knew known|lay laid|lead led|lean leant|learn learnt|leave left|lend lent|lie lay lain|light lit|lose lost loss
		make made|mean meant|meet met|mistake mistook mistaken|pay paid payment|quit|read|ride rode ridden|ring rang rung|rise rose risen|run ran
		say said|see saw seen|seek sought|sell sold sale|send sent|set|shake shook shaken|shine shone|shoot shot|show showed shown|shrink shrank shrunk|shut
		sing sang sung song|sink sank sunk|sit sat|sleep slept|slide slid|speak spoke spoken speech|spend spent|spill spilt|spin spun|split|spread
		stand stood|steal stole stolen|stick stuck|sting stung|strike struck|strive strove|swear swore sworn|sweep swept|swim swam swum
		take took taken|teach taught|tear tore torn|tell told|think thought|throw threw thrown|understand understood|upset|wake woke woken|wear wore worn
		weave wove woven|weep wept|win won|wind wound|withdraw withdrew withdrawn|write wrote written
		man men|woman women|child children|person people|foot feet|tooth teeth|mouse mice|life lives|wife wives|leaf leaves|knife knives|half halves
		mom mother mum|dad father|kid child|photo picture|marry marriage married wedding|choose choice|decide decision|move moved relocate|purchase buy bought`, "\n") {
		for _, group := range strings.Split(line, "|") {
			forms := strings.Fields(group)
			for _, f := range forms {
				for _, other := range forms {
					if other != f {
						all[f] = append(all[f], other)
					}
				}
			}
		}
	}
	return all
}()
