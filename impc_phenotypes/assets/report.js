const text=(r,i)=>{const c=r.cells[i];return c.dataset.v??c.textContent};
for(const t of document.querySelectorAll('table.sortable'))t.querySelectorAll('th').forEach((h,i)=>h.addEventListener('click',()=>{
  const up=h.getAttribute('aria-sort')!=='ascending',b=t.tBodies[0];
    t.querySelectorAll('th').forEach(o=>o.removeAttribute('aria-sort'));
    h.setAttribute('aria-sort',up?'ascending':'descending');
  const n=v=>v===''||v==='–'?NaN:Number(v),key=(x,y)=>{const a=text(x,i),c=text(y,i),p=n(a),q=n(c);
    if(!isNaN(p)&&!isNaN(q))return p-q;if(!isNaN(p))return -1;
    if(!isNaN(q))return 1;return a.localeCompare(c)};
  [...b.rows].sort((x,y)=>up?key(x,y):key(y,x)).forEach(r=>b.append(r))}));
for(const f of document.querySelectorAll('input[data-for]'))f.addEventListener('input',()=>{const q=f.value.toLowerCase();
  for(const r of document.getElementById(f.dataset.for).tBodies[0].rows)r.hidden=!r.textContent.toLowerCase().includes(q)});
for(const s of document.querySelectorAll('button[data-save]'))s.addEventListener('click',()=>{const t=document.getElementById(s.dataset.save),q=v=>'"'+v.trim().replace(/^([=+@\t])/,"'$1").replaceAll('"','""')+'"';
  const rows=[...t.rows].filter(r=>!r.hidden).map(r=>[...r.cells].map(c=>q(c.textContent)).join(','));
    const a=document.createElement('a');a.href=URL.createObjectURL(new Blob([rows.join('\n')],{type:'text/csv'}));
    a.download=s.dataset.save+'.csv';a.click()});
for(const b of document.querySelectorAll('button[data-copy]'))b.addEventListener('click',()=>{const r=document.createRange();
  r.selectNodeContents(document.getElementById(b.dataset.copy));
  const s=getSelection();s.removeAllRanges();s.addRange(r);
  document.execCommand('copy');b.textContent='Copied'});
