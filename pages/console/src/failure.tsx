/** Why something could not be read, with a button to try it again. */
export function Failure({ text, again }: { text: string; again: () => void }) {
  return (
    <p role="alert" className="card failure">
      {text} <button onClick={again}>Try again</button>
    </p>
  );
}
