(async()=>{
const zipped=Uint8Array.from(atob(document.getElementById('gene-data').textContent),c=>c.charCodeAt(0));
if(!self.DecompressionStream){document.getElementById('gene-told').className='warn';
  document.getElementById('gene-told').textContent='This browser cannot unpack the audiograms: use one of 2023 or later.';
  return}
const G=await new Response(new Blob([zipped]).stream().pipeThrough(new DecompressionStream('gzip'))).json(),B=Int8Array.from(atob(G.offsets),c=>c.charCodeAt(0)),pick=document.getElementById('gene-name'),told=document.getElementById('gene-told'),plot=document.getElementById('gene-plot');
const bySymbol=new Map();G.gene.forEach((g,i)=>{const k=g.toLowerCase();
  if(!bySymbol.has(k))bySymbol.set(k,[]);bySymbol.get(k).push(i)});
const D=G.tones.length,M=G.main,real=v=>v===null?null:v*G.point,off=i=>[...B.slice(D*i,D*i+D)].map(v=>v===-128?null:v*G.point),gap=v=>[...v.slice(0,M),...v.slice(M).flatMap(o=>[null,o]),null],GX=gap(G.x),WIDE=gap(G.x).length,LAST=G.x[D-1];
for(const g of G.groups)for(const k of ['lo','mid','hi'])g[k]=g[k].map(real);
const digits=G.unit==='SD'?1:0,ends=G.log?[Math.log10(G.x[0]/6*5.3),Math.log10(LAST/47*56)]:[-.5,LAST+.5];
const band=(g,a)=>{const k=[...Array(M).keys()].filter(i=>g.lo[i]!==null),t=[{x:[...k.map(i=>G.x[i]),...k.slice().reverse().map(i=>G.x[i])],y:[...k.map(i=>g.lo[i]),...k.slice().reverse().map(i=>g.hi[i])]}];
  if(D>M&&g.lo[D-1]!==null)t.push({x:G.log?[.93,1.07,1.07,.93].map(f=>f*LAST):[-.2,.2,.2,-.2].map(f=>f+LAST),y:[g.lo[D-1],g.lo[D-1],g.hi[D-1],g.hi[D-1]]});
  return t.map((o,i)=>({...o,...a,fill:'toself',fillcolor:'rgba(0,0,0,.14)',mode:'none',hoverinfo:'skip',name:G.groups.every(o=>o.what==='controls')?'controls, 5–95 %':'reference, 5–95 %',legendgroup:'c',showlegend:a.showlegend&&!i}))};
const oneLine=(l,a,seen)=>{const legend=k=>!seen.has(k)&&!!seen.add(k);
  const s=G.styles[G.phenotype[l]],g=G.groups[G.group[l]],out=band(g,a),sums=Array(D).fill(0),ns=Array(D).fill(0);
  for(const [key,word] of [['f','female'],['m','male'],['u','sex unknown']]){const y=[];
    for(let i=G.start[l];i<G.start[l]+G.n[l];i++){if(G.sex[i]!==key)continue;
    const v=off(i);y.push(...gap(v));v.forEach((x,j)=>{if(x!==null){sums[j]+=x;
    ns[j]++}})}
    const look=G.sexes[word]||{color:'#777777',symbol:'diamond',dash:'dot'};
    if(y.length)out.push({...a,x:Array(y.length/WIDE).fill(GX).flat(),y,mode:'lines+markers',line:{color:look.color,width:1.2,dash:look.dash},opacity:.65,marker:{symbol:look.symbol,size:5},name:word,showlegend:legend(key),legendgroup:key,hovertemplate:'%{y:.'+digits+'f} '+G.unit+'<extra>'+word+'</extra>'})}
  out.push({...a,x:GX,y:gap(sums.map((v,j)=>ns[j]?v/ns[j]:null)),mode:'lines+markers',line:{color:s.color,width:4},marker:{size:8,symbol:s.symbol},name:'mean of the line',legendgroup:'mean',hovertemplate:'mean %{y:.'+digits+'f} '+G.unit+'<extra></extra>'});
    return out};
const showGene=(name,jump)=>{const lines=bySymbol.get(name.trim().toLowerCase());
  if(!lines){const q=name.trim().toLowerCase(),near=[...new Set(G.gene)].filter(g=>q&&(g.toLowerCase().startsWith(q.slice(0,3))||g.toLowerCase().includes(q))).slice(0,8);
    const lost=Object.keys(G.lost).find(g=>g.toLowerCase()===q);
    told.className='warn';told.textContent=lost?`Every mouse of ${lost} was left out: ${G.lost[lost]}.`:`No line of ${name.trim()||'this gene'} was placed in this run`+(near.length?`; genes that look alike: ${near.join(', ')}.`:'.');
    Plotly.purge(plot);plot.setAttribute('aria-label','No gene is shown. '+told.textContent);
    document.getElementById('gene-lines').tBodies[0].replaceChildren();
    return}
  const gene=G.gene[lines[0]],shown=lines.slice(0,6),cols=Math.min(3,shown.length),rows=Math.ceil(shown.length/3),traces=[],seen=new Set(),lay={width:Math.max(620,230+260*cols),height:150+260*rows,font:G.font,margin:{l:60,r:170,t:70,b:50},annotations:[],paper_bgcolor:'#fff',plot_bgcolor:'#fff',
    title:{text:'<b>'+gene.replace(/&/g,'&amp;').replace(/</g,'&lt;')+': '+lines.reduce((s,l)=>s+G.n[l],0)+(lines.reduce((s,l)=>s+G.n[l],0)===1?' mouse in ':' mice in ')+lines.length+(lines.length===1?' line':' lines')+'</b>',x:.015,xanchor:'left',font:{size:15}}};
  shown.forEach((l,i)=>{const k=i?String(i+1):'',c=i%3,r=Math.floor(i/3),w=1/cols,h=1/rows;
    traces.push(...oneLine(l,{xaxis:'x'+k,yaxis:'y'+k,showlegend:i===0},seen));
    lay['xaxis'+k]={type:G.log?'log':'linear',range:ends,tickvals:G.x,ticktext:G.log?G.ticks:G.ticks.map(t=>t.replaceAll(' ','<br>')),tickfont:{size:10},tickangle:0,domain:[c*w+.02*c,(c+1)*w-.03],anchor:'y'+k,gridcolor:G.grid,zeroline:false,title:{text:G.axis}};
    lay['yaxis'+k]={domain:[1-(r+1)*h+(r<rows-1?.12:0),1-r*h-.08],anchor:'x'+k,matches:i?'y':undefined,gridcolor:G.grid,zeroline:true,zerolinecolor:'#999',title:c?undefined:{text:'offset, '+G.unit}};
    lay.annotations.push({xref:'x'+k+' domain',yref:'y'+k+' domain',x:.5,y:1.02,xanchor:'center',yanchor:'bottom',showarrow:false,font:{size:11},text:[G.zygosity[l]||'zygosity unknown',G.centre[l],G.n[l]+(G.n[l]===1?' mouse':' mice')].join(', ').replace(/</g,'&lt;')})});
  Plotly.react(plot,traces,lay,{displaylogo:false});
  const body=document.getElementById('gene-lines').tBodies[0];body.replaceChildren();
  for(const l of lines){const tr=body.insertRow();for(const v of [G.allele[l]||G.gene[l],G.zygosity[l]||'unknown',G.centre[l],String(G.n[l]),G.groups[G.group[l]].n+' '+G.groups[G.group[l]].what,G.call[l],G.said[l]])tr.insertCell().textContent=v}
  told.className='sr';told.textContent=gene+': '+lines.map(l=>`${G.zygosity[l]||'zygosity unknown'} at ${G.centre[l]}, ${G.n[l]} ${G.n[l]===1?'mouse':'mice'}: ${G.call[l]}; phenotype ${G.said[l]}`).join('. ')+(lines.length>6?` (${lines.length-6} lines are in the table only)`:'')+'.';
  plot.setAttribute('aria-label','Offsets of each mouse from matched controls, '+G.unit+', by '+(G.log?'tone':'parameter')+'. '+told.textContent);
    pick.value=gene;if(jump)document.getElementById('gene').scrollIntoView()};
document.getElementById('gene-form').addEventListener('submit',e=>{e.preventDefault();
  history.replaceState(null,'','#gene='+encodeURIComponent(pick.value.trim()));
  showGene(pick.value)});
pick.addEventListener('change',()=>showGene(pick.value));
const fromAddress=()=>{const m=/^#gene=(.+)$/.exec(location.hash);
  if(m){let g=m[1];try{g=decodeURIComponent(g)}catch{}showGene(g,true)}return!!m};
addEventListener('hashchange',fromAddress);if(!fromAddress()&&G.first)showGene(G.first)})();
