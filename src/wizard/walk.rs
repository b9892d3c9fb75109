//! Through the steps, and back.
//!
//! What is on the screen goes back with the state: a step may ask several questions in one call (which volume, then its
//! address), and all their answers are taken off together when that step is asked again. What was answered there is
//! offered again: whoever goes back to mend one answer does not give all the others twice.

use std::collections::BTreeMap;

use super::prompter::{Check, Choice, Halt, Kept, Prompter, Question, Reply};

/// A step: asks one question if its answer is still open, and puts the answer into the state. It is called again until it
/// asks nothing, so a step with several questions asks them one by one.
pub type Step<S> = fn(&mut S, &mut dyn Prompter) -> Reply<()>;

/// How yes is kept.
const YES: &str = "yes";

/// How often one step may ask, so that a step that forgets its answer cannot go on for ever.
const BOUND: usize = 100;

/// Where a wizard is: the step, and the state before each question.
#[derive(Debug)]
pub struct Walk<S> {
    at: usize,
    history: Vec<Asked<S>>,
    /// What was answered to questions that were gone back over, until they are answered again.
    kept: Memory,
}

/// Answers by their questions: flag and title.
type Memory = BTreeMap<(String, String), Kept>;

/// A call of a step that asked something.
#[derive(Debug)]
struct Asked<S> {
    /// The step.
    at: usize,
    /// The state before it.
    before: S,
    /// The questions that were answered, with the answers.
    answers: Vec<((String, String), Kept)>,
}

impl<S> Default for Walk<S> {
    fn default() -> Self {
        Walk {
            at: 0,
            history: Vec::new(),
            kept: Memory::new(),
        }
    }
}

impl<S: Clone> Walk<S> {
    /// Goes on through the steps to the end. Going back past the first question is [`Halt::Back`].
    ///
    /// # Errors
    /// [`Halt::Back`], [`Halt::Quit`] and [`Halt::Failed`]; a missing answer goes on with the next step.
    pub fn run(&mut self, state: &mut S, steps: &[Step<S>], prompter: &mut dyn Prompter) -> Reply<()> {
        let mut asked_here = 0;
        while let Some(step) = steps.get(self.at) {
            let before = state.clone();
            let mut keeping = Keeping {
                inner: prompter,
                kept: &mut self.kept,
                asked: 0,
                answers: Vec::new(),
            };
            let answer = step(state, &mut keeping);
            let (asked, answers) = (keeping.asked, keeping.answers);
            match answer {
                Ok(()) if asked > 0 && asked_here < BOUND => {
                    asked_here += 1;
                    self.record(before, answers);
                }
                Ok(()) | Err(Halt::Missing) => {
                    asked_here = 0;
                    self.at += 1;
                }
                // The question that was left has taken one answer off the screen: the one before it.
                Err(Halt::Back) if asked > 1 => {
                    *state = before;
                    self.kept.extend(answers);
                    prompter.forget(asked - 2);
                }
                Err(Halt::Back) => {
                    asked_here = 0;
                    match self.back(state) {
                        Some(answers) => prompter.forget(answers.saturating_sub(1)),
                        None => return Err(Halt::Back),
                    }
                }
                // What was answered just now is what cannot be right: that is to be asked again.
                Err(Halt::Failed(message, hint)) if asked > 0 => {
                    self.record(before, answers);
                    return Err(Halt::Failed(message, hint));
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    fn record(&mut self, before: S, answers: Vec<((String, String), Kept)>) {
        self.history.push(Asked {
            at: self.at,
            before,
            answers,
        });
    }

    /// Changes the states that going back would bring back.
    pub fn each(&mut self, change: impl Fn(&mut S)) {
        self.history
            .iter_mut()
            .for_each(|asked| change(&mut asked.before));
    }

    /// Goes back to the last question, and answers with the number of answers that are undone by it; `None` when there is
    /// no question to go back to.
    pub fn back(&mut self, state: &mut S) -> Option<usize> {
        let asked = self.history.pop()?;
        self.at = asked.at;
        *state = asked.before;
        let count = asked.answers.len();
        self.kept.extend(asked.answers);
        Some(count)
    }
}

/// Counts the questions, keeps the answers, and offers those that were given before.
struct Keeping<'p> {
    inner: &'p mut dyn Prompter,
    kept: &'p mut Memory,
    asked: usize,
    answers: Vec<((String, String), Kept)>,
}

impl Keeping<'_> {
    /// The question, with what was answered to it before.
    fn begin(&mut self, question: &Question) -> Question {
        self.asked += 1;
        let kept = self.kept.get(&key(question)).cloned();
        Question {
            kept,
            ..question.clone()
        }
    }

    fn end(&mut self, question: &Question, answer: Vec<String>) {
        // A question that is asked again and again (another schedule?) is not answered by its own answer.
        self.kept.remove(&key(question));
        self.answers.push((key(question), Kept(answer)));
    }
}

fn key(question: &Question) -> (String, String) {
    (question.flag.clone(), question.title.clone())
}

impl Prompter for Keeping<'_> {
    fn select(&mut self, question: &Question, choices: &[Choice], default: Option<usize>) -> Reply<usize> {
        let question = self.begin(question);
        let before = question.kept_line();
        let before = before.and_then(|value| choices.iter().position(|c| c.value == value));
        let index = self.inner.select(&question, choices, before.or(default))?;
        let value = choices.get(index).map(|c| c.value.clone());
        self.end(&question, value.into_iter().collect());
        Ok(index)
    }

    fn several(&mut self, question: &Question, choices: &[Choice], chosen: &[bool]) -> Reply<Vec<usize>> {
        let question = self.begin(question);
        let before = question.kept.as_ref().map(|kept| {
            choices
                .iter()
                .map(|c| kept.0.contains(&c.value))
                .collect::<Vec<bool>>()
        });
        let chosen = before.as_deref().unwrap_or(chosen);
        let indices = self.inner.several(&question, choices, chosen)?;
        let values = indices.iter().filter_map(|i| choices.get(*i));
        let values = values.map(|c| c.value.clone()).collect();
        self.end(&question, values);
        Ok(indices)
    }

    fn text(&mut self, question: &Question, default: Option<&str>, check: Check<'_>) -> Reply<String> {
        let question = self.begin(question);
        let text = self.inner.text(&question, default, check)?;
        self.end(&question, vec![text.clone()]);
        Ok(text)
    }

    fn hidden(&mut self, question: &Question) -> Reply<String> {
        let question = self.begin(question);
        let text = self.inner.hidden(&question)?;
        self.end(&question, vec![text.clone()]);
        Ok(text)
    }

    fn confirm(&mut self, question: &Question, default: bool) -> Reply<bool> {
        let question = self.begin(question);
        let before = question.kept_line().map(|word| word == YES);
        let answer = self.inner.confirm(&question, before.unwrap_or(default))?;
        self.end(&question, vec![if answer { YES } else { "no" }.to_owned()]);
        Ok(answer)
    }

    fn say(&mut self, text: &str) {
        self.inner.say(text);
    }

    fn forget(&mut self, answers: usize) {
        self.inner.forget(answers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wizard::scripted::{Line, Scripted};

    #[derive(Clone, Default, Debug, PartialEq)]
    struct State {
        first: Option<String>,
        list: Vec<String>,
    }

    fn first(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
        if state.first.is_none() {
            state.first = Some(prompter.text(&Question::new("--first", "First", ""), None, &|_| {
                Ok(String::new())
            })?);
        }
        Ok(())
    }

    fn two(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
        if state.list.len() < 2 {
            let more = prompter.text(&Question::new("--more", "More", ""), None, &|_| Ok(String::new()))?;
            state.list.push(more);
        }
        Ok(())
    }

    #[test]
    fn back_undoes_the_last_answer_within_a_step_and_across_steps() {
        let mut script = Scripted::new([
            Line::text("a"),
            Line::text("b"),
            Line::Back,
            Line::Back,
            Line::text("A"),
            Line::text("B"),
            Line::text("C"),
        ]);
        let mut state = State::default();
        let mut walk = Walk::default();
        walk.run(&mut state, &[first, two], &mut script).unwrap();
        assert_eq!(
            state,
            State {
                first: Some("A".into()),
                list: vec!["B".into(), "C".into()]
            }
        );
        assert_eq!(walk.back(&mut state), Some(1));
        assert_eq!(state.list, ["B"]);
    }

    /// Two questions in one call.
    fn pair(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
        if state.list.is_empty() {
            for title in ["Which", "Where"] {
                let question = Question::new("--pair", title, "");
                state
                    .list
                    .push(prompter.text(&question, None, &|_| Ok(String::new()))?);
            }
        }
        Ok(())
    }

    /// What is on the screen, as a terminal keeps it: one entry per answer, and a question that is left takes one off.
    struct Screen {
        script: Scripted,
        answers: usize,
    }

    impl Prompter for Screen {
        fn select(&mut self, _: &Question, _: &[Choice], _: Option<usize>) -> Reply<usize> {
            Err(Halt::Quit)
        }
        fn several(&mut self, _: &Question, _: &[Choice], _: &[bool]) -> Reply<Vec<usize>> {
            Err(Halt::Quit)
        }
        fn text(&mut self, question: &Question, default: Option<&str>, check: Check<'_>) -> Reply<String> {
            let reply = self.script.text(question, default, check);
            match &reply {
                Ok(_) => self.answers += 1,
                Err(Halt::Back) => self.answers -= 1,
                Err(_) => {}
            }
            reply
        }
        fn hidden(&mut self, _: &Question) -> Reply<String> {
            Err(Halt::Quit)
        }
        fn confirm(&mut self, _: &Question, _: bool) -> Reply<bool> {
            Err(Halt::Quit)
        }
        fn say(&mut self, _: &str) {}
        fn forget(&mut self, answers: usize) {
            self.answers -= answers;
        }
    }

    #[test]
    fn the_screen_goes_back_with_the_state() {
        let mut screen = Screen {
            script: Scripted::new([
                Line::text("nfs"),
                // Left in the middle of a step: that step begins again.
                Line::Back,
                Line::text("nfs"),
                Line::text("host:/path"),
                // Left at the question after it: both answers of the step go.
                Line::Back,
                Line::text("pvc"),
                Line::text("data"),
                Line::text("name"),
            ]),
            answers: 0,
        };
        let mut state = State::default();
        Walk::default()
            .run(&mut state, &[pair, first], &mut screen)
            .unwrap();
        assert_eq!(
            (state.list, state.first),
            (vec!["pvc".into(), "data".into()], Some("name".into()))
        );
        assert_eq!(screen.answers, 3);
    }

    #[test]
    fn what_was_answered_is_offered_again() {
        let mut script = Scripted::new([
            Line::text("nfs"),
            Line::text("host:/path"),
            Line::text("name"),
            Line::Back,
            Line::Back,
            Line::Default,
            Line::text("other:/path"),
            Line::Default,
            Line::text("last"),
        ]);
        let mut state = State::default();
        let mut walk = Walk::default();
        let last: Step<State> = |state, prompter| {
            if state.list.len() < 3 {
                let more =
                    prompter.text(&Question::new("--last", "Last", ""), None, &|_| Ok(String::new()))?;
                state.list.push(more);
            }
            Ok(())
        };
        walk.run(&mut state, &[pair, first, last], &mut script).unwrap();
        assert_eq!(state.list, ["nfs", "other:/path", "last"]);
        assert_eq!(state.first.as_deref(), Some("name"));
        assert!(walk.kept.is_empty(), "an answer is offered once: {:?}", walk.kept);
    }

    #[test]
    fn back_before_the_first_question_leaves() {
        let mut script = Scripted::new([Line::Back]);
        let mut state = State::default();
        assert_eq!(
            Walk::default().run(&mut state, &[first], &mut script),
            Err(Halt::Back)
        );
    }
}
