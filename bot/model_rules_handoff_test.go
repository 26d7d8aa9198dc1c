package bot

import "testing"

func TestRulesUnderstandHandoffs(t *testing.T) {
	t.Parallel()
	checkSentences(t, []sentence{
		{"hand my duties to <@U0CHLOE>", `handoff_offer {"from":"me","to":"<@U0CHLOE>","what":"duties"}`},
		{"please hand over my duties to @chloe because I am on leave", `handoff_offer {"from":"me","reason":"I am on leave","to":"@chloe","what":"duties"}`},
		{"hand all my threads to @chloe.", `handoff_offer {"from":"me","to":"@chloe","what":"threads"}`},
		{"hand everything of mine to @chloe", "~I did not understand"},
		{"hand my duties and threads to @chloe", `handoff_offer {"from":"me","to":"@chloe","what":"everything"}`},
		{"transfer my work to Chloe", `handoff_offer {"from":"me","to":"Chloe","what":"everything"}`},
		{"hand this thread to @ben", `handoff_offer {"to":"@ben","what":"this thread"}`},
		{"hand this thread over to <@U0BEN>", `handoff_offer {"to":"<@U0BEN>","what":"this thread"}`},
		{"hand d_abc to @chloe", `handoff_offer {"to":"@chloe","what":"d_abc"}`},
		{"hand duty `d_abc` to @chloe", `handoff_offer {"to":"@chloe","what":"d_abc"}`},
		{"give d_abc, d_def and d_ghi to @chloe", `handoff_offer {"to":"@chloe","what":"d_abc  d_def d_ghi"}`},
		{"take over <@U0BEN>'s duties", `handoff_offer {"from":"<@U0BEN>","to":"me","what":"duties"}`},
		{"I'll take over Ben’s threads", `handoff_offer {"from":"Ben","to":"me","what":"threads"}`},
		{"take over this thread", `handoff_offer {"to":"me","what":"this thread"}`},
		{"hand <@U0BEN>'s duties to <@U0CHLOE>", `handoff_offer {"from":"<@U0BEN>","to":"<@U0CHLOE>","what":"duties"}`},
		{"who owns this thread?", `handoff_list {"what":"this thread"}`},
		{"whose thread is this?", `handoff_list {"what":"this thread"}`},
		{"what do I own?", `handoff_list {"what":"mine"}`},
		{"what does @ben own?", `handoff_list {"what":"@ben"}`},
		{"Ben leaves on Friday: who takes what?", `offboarding_plan {"person":"Ben","when":"on Friday"}`},
		{"<@U0BEN> is leaving on 12 December, who takes over?", `offboarding_plan {"person":"<@U0BEN>","when":"on 12 December"}`},
		{"I leave tomorrow: who takes what?", `offboarding_plan {"person":"me","when":"tomorrow"}`},
		{"offboard <@U0BEN> on Friday", `offboarding_plan {"person":"<@U0BEN>","when":"on Friday"}`},
		{"offboard @ben", `offboarding_plan {"person":"@ben"}`},
		{"who takes what when Ben leaves on Friday?", `offboarding_plan {"person":"Ben","when":"on Friday"}`},
		{"this thread is settled", `thread_settle {}`},
		{"close this thread", `thread_settle {}`},
		// What is not a handoff stays what it was.
		{"who owns billing?", `recall {"query":"who owns billing"}`},
		{"remember that Ben leaves on Friday", `remember {"text":"Ben leaves on Friday"}`},
		{"give my regards to @chloe", "~I did not understand"},
		// To accept is for people alone.
		{"accept h_abc", "~I did not understand"},
		{"call handoff_accept {\"id\":\"h_abc\"}", "~I have no tool `handoff_accept`"},
	}, user)
	// In a thread, what is said to others hands nothing over.
	checkSentences(t, []sentence{
		{"hand my duties to @chloe", ""},
		{"take over Ben's duties", ""},
	}, overheard)
}
