//! Through the steps, and back.

use super::prompter::{Check, Choice, Halt, Prompter, Question, Reply};

/// A step: asks one question if its answer is still open, and puts the answer into the state. It is called again until it
/// asks nothing, so a step with several questions asks them one by one.
pub type Step<S> = fn(&mut S, &mut dyn Prompter) -> Reply<()>;

/// How often one step may ask, so that a step that forgets its answer cannot go on for ever.
const BOUND: usize = 100;

/// Where a wizard is: the step, and the state before each question.
#[derive(Debug)]
pub struct Walk<S> {
    at: usize,
    history: Vec<(usize, S)>,
}

impl<S> Default for Walk<S> {
    fn default() -> Self {
        Walk {
            at: 0,
            history: Vec::new(),
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
            let mut counting = Counting {
                inner: prompter,
                asked: 0,
            };
            let answer = step(state, &mut counting);
            let asked = counting.asked > 0;
            match answer {
                Ok(()) if asked && asked_here < BOUND => {
                    asked_here += 1;
                    self.history.push((self.at, before));
                }
                Ok(()) | Err(Halt::Missing) => {
                    asked_here = 0;
                    self.at += 1;
                }
                Err(Halt::Back) => {
                    asked_here = 0;
                    if !self.back(state) {
                        return Err(Halt::Back);
                    }
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// Changes the states that going back would bring back.
    pub fn each(&mut self, change: impl Fn(&mut S)) {
        self.history.iter_mut().for_each(|(_, state)| change(state));
    }

    /// Goes back to the last question; false when there is none.
    pub fn back(&mut self, state: &mut S) -> bool {
        match self.history.pop() {
            Some((at, before)) => {
                self.at = at;
                *state = before;
                true
            }
            None => false,
        }
    }
}

/// Counts the questions.
struct Counting<'p> {
    inner: &'p mut dyn Prompter,
    asked: usize,
}

impl Prompter for Counting<'_> {
    fn select(&mut self, question: &Question, choices: &[Choice], default: Option<usize>) -> Reply<usize> {
        self.asked += 1;
        self.inner.select(question, choices, default)
    }

    fn several(&mut self, question: &Question, choices: &[Choice], chosen: &[bool]) -> Reply<Vec<usize>> {
        self.asked += 1;
        self.inner.several(question, choices, chosen)
    }

    fn text(&mut self, question: &Question, default: Option<&str>, check: Check<'_>) -> Reply<String> {
        self.asked += 1;
        self.inner.text(question, default, check)
    }

    fn hidden(&mut self, question: &Question) -> Reply<String> {
        self.asked += 1;
        self.inner.hidden(question)
    }

    fn confirm(&mut self, question: &Question, default: bool) -> Reply<bool> {
        self.asked += 1;
        self.inner.confirm(question, default)
    }

    fn say(&mut self, text: &str) {
        self.inner.say(text);
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
        assert!(walk.back(&mut state));
        assert_eq!(state.list, ["B"]);
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
