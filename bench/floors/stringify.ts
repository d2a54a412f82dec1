// A floor for exports: reads the rows of a dataset with better-sqlite3, and writes each as JSON.
import { closeSync, openSync, writeSync } from "node:fs";
import Database from "better-sqlite3";

const [database = "", output = ""] = process.argv.slice(2);
const BYTES_A_WRITE = 65_536;

const db = new Database(database, { readonly: true });
const rows = db
  .prepare<[], object>(
    `select t.position as task, p.position as perspective, iif(p.position = 0, x.text, null) as context,
            c.step, c.state, c.failure, a.text as response, a.finish_reason
       from tasks t
       join texts x on x.id = t.input_id
       join calls c on c.task_id = t.id
       join perspectives p on p.id = c.perspective_id
       left join answers a on a.id = c.answer_id
      order by t.position, c.id`,
  )
  .iterate();
const file = openSync(output, "w");
let text = "[";
for (const row of rows) {
  text += `${JSON.stringify(row)},\n`;
  if (text.length < BYTES_A_WRITE) continue;
  writeSync(file, text);
  text = "";
}
writeSync(file, `${text}null]`);
closeSync(file);
