// One question at a time, asked by a dialog in App.vue. `ask` answers whether the person said yes.
import { shallowRef } from 'vue';

export interface Question {
  title: string;
  text?: string;
  // What is hit.
  names?: string[];
  verb: string;
  danger?: boolean;
  // Must be typed to say yes.
  typed?: string;
}
export const question = shallowRef<(Question & { answer: (yes: boolean) => void }) | null>(null);

export function ask(asked: Question): Promise<boolean> {
  question.value?.answer(false);
  return new Promise((resolve) => {
    question.value = {
      ...asked,
      answer: (yes) => {
        question.value = null;
        resolve(yes);
      },
    };
  });
}
